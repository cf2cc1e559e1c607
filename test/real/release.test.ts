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
  const args = ['quarantine', 'release', what];
  expect(await runCli(args, world.environment())).toMatchObject({ code: 0 });
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
    const daemon = world.start();
    await daemon.says('daemon.owner');
    await setAside(world, message, 'spam');
    world.sent.set(message.name, { message, verdict: 'spam' });
    await release(world, message.name);
    expect(await daemon.says('message.learned')).toMatchObject({
      verdict: 'spam',
      file: message.name,
      attempt: 1,
    });
    expect(world.quarantined).toEqual([]);
    expect(await world.forgotten()).toEqual([]);
  });

  it('is learned by the next one pass, the newer verdict wins there', async () => {
    await using world = await World.make();
    const [turned, released] = [makeMessage('spam', 1), makeMessage('spam', 2)];
    await setAside(world, turned, 'spam');
    await setAside(world, released, 'spam');
    // The folders of this version.
    await world.start({}, ['--once']).ends();
    await release(world, '--all');
    await world.judge(turned, 'ham');
    world.sent.set(released.name, { message: released, verdict: 'spam' });
    const daemon = world.start({}, ['--once']);
    expect(await daemon.ends()).toBe(0);
    const learned = daemon.logged('message.learned').map(({ verdict }) => verdict);
    expect(learned.sort()).toEqual(['ham', 'spam']);
    expect(world.names('release/spam')).toEqual([]);
    expect(await world.forgotten()).toEqual([]);
  });
});
