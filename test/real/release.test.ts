import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import type { Verdict } from '../../src/verdict.ts';
import { describeReal } from './harness.ts';
import { runCli } from '../support/run-cli.ts';
import { World } from './world.ts';

async function release(world: World, what: string): Promise<void> {
  const settings = { KOPANO_SPAMD_LIB: world.lib, LEARN_STATE_DIR: world.stateDir };
  expect(await runCli(['quarantine', 'release', what], settings)).toMatchObject({ code: 0 });
}

/** Puts a message into quarantine, as an earlier daemon did. */
async function setAside(world: World, message: MadeMessage, verdict: Verdict): Promise<void> {
  for (const place of ['', 'quarantine', `quarantine/${verdict}`]) {
    await mkdir(join(world.stateDir, place), { recursive: true, mode: 0o700 });
  }
  const file = join(world.stateDir, 'quarantine', verdict, message.name);
  await writeFile(file, message.raw);
  await chmod(file, 0o660);
  await writeFile(`${file}.json`, '{"reason":"500 no"}');
}

describeReal('a released message', () => {
  it('is learned by the running daemon, and has a fresh start', async () => {
    await using world = await World.make();
    const message = makeMessage('spam', 1);
    const daemon = world.startDaemon();
    await daemon.until('own it', () => daemon.linesOf('daemon.owner').length > 0, {
      timeoutMs: 10_000,
    });
    await setAside(world, message, 'spam');
    world.sent.set(message.name, { message, verdict: 'spam' });
    await release(world, message.name);
    await daemon.until('learn it', () => daemon.linesOf('message.learned').length > 0, {
      timeoutMs: 15_000,
    });
    const [line] = daemon.linesOf('message.learned');
    expect(line?.fields).toMatchObject({ verdict: 'spam', file: message.name, attempt: 1 });
    expect(await world.quarantined()).toEqual([]);
    expect(await world.forgotten()).toEqual([]);
  });

  it('is learned by the next one pass, the newer verdict wins there', async () => {
    await using world = await World.make();
    const [turned, released] = [makeMessage('spam', 1), makeMessage('spam', 2)];
    await setAside(world, turned, 'spam');
    await setAside(world, released, 'spam');
    // Made by the daemon of this version.
    await world
      .startDaemon({}, ['--once'])
      .until('end', () => false, { timeoutMs: 20_000 })
      .catch(() => undefined);
    await release(world, '--all');
    await world.judge(turned, 'ham');
    world.sent.set(released.name, { message: released, verdict: 'spam' });
    const daemon = world.startDaemon({}, ['--once']);
    await daemon.until('learn both', () => daemon.linesOf('message.learned').length === 2, {
      timeoutMs: 20_000,
    });
    const learned = daemon.linesOf('message.learned').map(({ fields }) => fields['verdict']);
    expect(learned.sort()).toEqual(['ham', 'spam']);
    expect(await world.filesIn('.learnd/release/spam')).toEqual([]);
    expect(await world.forgotten()).toEqual([]);
  });
});
