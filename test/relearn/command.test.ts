import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { FaultServer } from '../faults/fault-server.ts';
import { alreadyLearned, always } from '../faults/plays.ts';
import { MOUNTS } from '../support/needs.ts';
import { mail, mboxOf, putIn } from '../support/relearn-sources.ts';
import { asOneself, program } from '../support/run.ts';
import { runCli } from '../support/run-cli.ts';
import type { Result } from '../support/run-cli.ts';
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

test('a journal goes on with another LEARN_CLASSES, unless that names other sources', async () => {
  const folder = temporaryFolder();
  const [spam, journal] = [putIn(folder, 'in/spam/a', mail('a')), join(folder, 'journal')];
  const dryRun = (sources: readonly string[], LEARN_CLASSES: string): Promise<Result> =>
    runCli(['relearn', '--dry-run', '--journal', journal, ...sources], { LEARN_CLASSES });
  const begin = (ham: readonly string[]): void => {
    const sources = JSON.stringify({ spam: [spam.replace(/\/a$/, '')], ham });
    writeFileSync(journal, `kopano-learnd relearn journal 2\n${sources}\nlearned spam ${spam}\n`);
  };
  begin([]);
  const same = await dryRun(['--spam', join(folder, 'in/spam')], 'newsletter');
  expect(same).toMatchObject({
    code: 0,
    out: expect.stringMatching(/, 1 done before\n/) as string,
  });
  begin([join(folder, 'in/ham')]);
  const more = await dryRun([join(folder, 'in')], 'newsletter');
  expect(more.code).toBe(64);
  expect(more.err).toMatch(/belongs to other sources: .*and with the same LEARN_CLASSES/s);
});

test('a dry run that is interrupted before its standard input ends says so', async () => {
  const args = [program(), ...asOneself(), 'relearn', '--dry-run', '--spam', '-'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  // More than a pipe holds: then it is being read.
  const messages = Array.from({ length: 5_000 }, (_, number) => mail(`${number}`));
  child.stdin.on('error', () => undefined).write(mboxOf(messages));
  const [out, err] = [text(child.stdout), text(child.stderr)];
  const ended = once(child, 'close');
  await once(child.stdin, 'drain');
  child.kill('SIGINT');
  expect(await ended).toEqual([75, null]);
  expect(await out).toMatch(/^Interrupted, and not everything was read\./);
  expect(await err).not.toContain('error of the program');
});
