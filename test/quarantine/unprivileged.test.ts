import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  dropQuarantined,
  releaseQuarantined,
  showQuarantined,
} from '../../src/quarantine/command.ts';
import type { QuarantineOptions } from '../../src/quarantine/command.ts';
import { TestSpool, put } from '../support/test-spool.ts';

function optionsFor(spool: TestSpool): QuarantineOptions {
  return {
    stateDir: spool.stateDir.root.path,
    stop: new AbortController().signal,
    out: () => undefined,
    outBytes: () => Promise.reject(new Error('it was read')),
    isTerminal: false,
    err: () => undefined,
    wall: () => Date.now(),
  };
}

test('what lies in quarantine and may not be read is refused', async () => {
  const spool = new TestSpool();
  put(spool.statePath('quarantine/spam/a.eml'), 'secret', 0);
  const shown = showQuarantined(optionsFor(spool), 'a.eml');
  await expect(shown).rejects.toMatchObject({ code: 'quarantine.forbidden', exitCode: 1 });
});

test('a folder that can be listed, and not looked into, is said with who may, whatever the command', async () => {
  const spool = new TestSpool();
  put(spool.statePath('quarantine/spam/a.eml'), 'secret');
  chmodSync(spool.statePath('quarantine/spam'), 0o600);
  const options = optionsFor(spool);
  const named = ['a.eml'];
  for (const command of [
    () => showQuarantined(options, 'a.eml'),
    () => releaseQuarantined(options, named),
    () => dropQuarantined(options, named),
  ]) {
    const refused = { code: 'quarantine.forbidden', exitCode: 1 };
    await expect(command()).rejects.toMatchObject(refused);
  }
  chmodSync(spool.statePath('quarantine/spam'), 0o700);
});
