import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  dropQuarantined,
  releaseQuarantined,
  showQuarantined,
} from '../../src/quarantine/command.ts';
import { TestSpool, put } from '../support/test-spool.ts';

test('what may not be read or looked into is said so, whatever the command', async () => {
  const spool = new TestSpool();
  const options = {
    stateDir: spool.stateDir.root.path,
    stop: new AbortController().signal,
    out: () => undefined,
    outBytes: () => Promise.reject(new Error('it was read')),
    terminal: undefined,
    errTerminal: undefined,
    err: () => undefined,
  };
  const refused = { code: 'quarantine.forbidden', exitCode: 1 };
  put(spool.statePath('quarantine/spam/a.eml'), 'secret', 0);
  await expect(showQuarantined(options, 'a.eml')).rejects.toMatchObject(refused);
  chmodSync(spool.statePath('quarantine/spam'), 0o600);
  for (const command of [
    () => showQuarantined(options, 'a.eml'),
    () => releaseQuarantined(options, ['a.eml']),
    () => dropQuarantined(options, ['a.eml']),
  ]) {
    await expect(command()).rejects.toMatchObject(refused);
  }
  chmodSync(spool.statePath('quarantine/spam'), 0o700);
});
