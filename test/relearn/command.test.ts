import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FaultServer } from '../faults/fault-server.ts';
import { alreadyLearned, always } from '../faults/plays.ts';
import { MOUNTS } from '../support/needs.ts';
import { mail, mboxOf, putIn } from '../support/relearn-sources.ts';
import { runCli } from '../support/run-cli.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';

test(
  'a journal whose disk is full is told behind the summary, not in its place',
  MOUNTS,
  async () => {
    await using server = await FaultServer.start({ play: always(alreadyLearned('x', 'spam')) });
    const folder = temporaryFolder();
    const full = join(folder, 'full');
    mountTmpfs(full, 'size=4k');
    const messages = Array.from({ length: 200 }, (_, number) => mail(`${number}`));
    const box = putIn(folder, 'spam.mbox', mboxOf(messages));
    const words = ['relearn', '--quiet', '--journal', join(full, 'journal'), '--spam', box];
    const { code, out, err } = await runCli(words, { RSPAMD_URL: server.url });
    expect(out).toMatch(/^Done after [^]*\nknown +200 /);
    expect(err).toMatch(/^kopano-learnd: the journal .* cannot be read or written \(ENOSPC\)\n/);
    expect(code).toBe(1);
  },
);
