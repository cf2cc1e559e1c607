import { expect, test } from 'vitest';
import { showQuarantined } from '../../src/commands/quarantine.ts';
import { TestSpool, put } from '../support/test-spool.ts';

test('what lies in quarantine and may not be read is refused', async () => {
  const spool = new TestSpool();
  put(spool.statePath('quarantine/spam/a.eml'), 'secret', 0);
  const shown = showQuarantined(
    {
      stateDir: spool.stateDir.root.path,
      stop: new AbortController().signal,
      out: () => undefined,
      outBytes: () => Promise.reject(new Error('it was read')),
      isTerminal: false,
      err: () => undefined,
      wall: () => Date.now(),
    },
    'a.eml',
  );
  await expect(shown).rejects.toMatchObject({ code: 'quarantine.forbidden', exitCode: 1 });
});
