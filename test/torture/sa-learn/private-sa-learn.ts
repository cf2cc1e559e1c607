import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGINS, RULES, countsIn } from '../../lab/private-spamd.ts';
import type { SpamdCounts } from '../../lab/private-spamd.ts';
import { temporaryFolder } from '../../support/temporary.ts';

/** `sa-learn` of a package with a Bayes of its own, and no rules: they cost a second a start. */
export class PrivateSaLearn {
  readonly folder = temporaryFolder();
  readonly program = join(this.folder, 'sa-learn');
  /** A name that it must not be given in a list. */
  readonly temporary = join(this.folder, 'tmp [{x}]');

  constructor(...config: readonly string[]) {
    const files = {
      'rules/rules.cf': RULES,
      'site/init.pre': [...PLUGINS, ''].join('\n'),
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

  get counts(): SpamdCounts {
    return countsIn(execFileSync(this.program, ['--dump', 'magic'], { encoding: 'utf8' }));
  }
}
