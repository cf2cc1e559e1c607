import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { mail, mboxOf } from '../support/relearn-sources.ts';
import { asOneself, program } from '../support/run.ts';

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
