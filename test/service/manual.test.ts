import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { projectFile } from './bundle.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'learnd-manual-'));
  execFileSync(process.execPath, [projectFile('scripts/manual.mjs'), folder, '2026-01-02']);
});

test('the man page has every command, flag, setting and exit code', () => {
  const page = readFileSync(join(folder, 'kopano-learnd.1'), 'utf8').replaceAll('\\-', '-');
  expect(page).toContain('.TH KOPANO-LEARND 1 2026-01-02');
  for (const bold of ['kopano-learnd quarantine show', '--prove-all', 'LEARN_STATE_DIR', '75']) {
    expect(page).toContain(`\n.B ${bold}\n`);
  }
});

test('the page of the settings file has every setting, as it is written', () => {
  const page = readFileSync(join(folder, 'kopano-learnd.conf.5'), 'utf8').replaceAll('\\-', '-');
  expect(page).toContain('.TH KOPANO-LEARND.CONF 5 2026-01-02');
  expect(page).toContain('\n.B LEARN_STATE_DIR\n');
  expect(page).toContain('\nWhere kopano-spamd writes');
});

test.each([
  [
    'kopano-learnd ',
    'watch relearn evaluate status health doctor demo quarantine --version --user --help',
  ],
  ['kopano-learnd rel', 'relearn'],
  ['kopano-learnd quarantine l', 'list'],
  ['kopano-learnd relearn --spam x --pro', '--prove-all'],
  ['kopano-learnd relearn --limit ', ''],
])('bash completes "%s"', (line, choices) => {
  const words = line.split(' ');
  const script = `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kopano_learnd; echo "\${COMPREPLY[@]}"`;
  const file = join(folder, 'kopano-learnd.bash');
  const completed = execFileSync('bash', ['-c', script, 'bash', file, ...words], {
    encoding: 'utf8',
  });
  expect(completed.trim()).toBe(choices);
});
