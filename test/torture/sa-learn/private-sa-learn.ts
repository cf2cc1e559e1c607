import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../support/temporary.ts';

/** `sa-learn` of a package with a Bayes of its own, and no rules: they cost a second a start. */
export class PrivateSaLearn {
  readonly folder = temporaryFolder();
  readonly program = join(this.folder, 'sa-learn');
  /** A name that it must not be given in a list. */
  readonly temporary = join(this.folder, 'tmp [{x}]');

  constructor(...config: readonly string[]) {
    const files = {
      'rules/rules.cf':
        'util_rb_tld com net org example invalid\nbody NOTHING /^nothing at all$/\n',
      'site/init.pre': ['Bayes', 'Check', 'WLBLEval']
        .map((name) => `loadplugin Mail::SpamAssassin::Plugin::${name}\n`)
        .join(''),
      'site/local.cf': [`bayes_path ${this.folder}/bayes/bayes`, ...config, ''].join('\n'),
      runs: '',
    };
    for (const name of ['rules', 'site', 'bayes']) mkdirSync(join(this.folder, name));
    mkdirSync(this.temporary);
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(this.folder, name), text);
    }
    const places = `--configpath ${this.folder}/rules --siteconfigpath ${this.folder}/site`;
    const note = `echo >>${this.folder}/runs`;
    const script = `#!/bin/sh\n${note}\nexec sa-learn ${places} "$@"\n`;
    writeFileSync(this.program, script, { mode: 0o755 });
  }

  /** How often it was started. */
  get runs(): number {
    return readFileSync(join(this.folder, 'runs'), 'latin1').length;
  }

  /** Such as `1 spam, 0 ham, 30 tokens`. */
  get counts(): string {
    const dump = execFileSync(this.program, ['--dump', 'magic'], { encoding: 'utf8' });
    const count = (name: string): string =>
      new RegExp(`(\\d+) +0 +non-token data: ${name}\\n`).exec(dump)?.[1] ?? '?';
    return `${count('nspam')} spam, ${count('nham')} ham, ${count('ntokens')} tokens`;
  }
}
