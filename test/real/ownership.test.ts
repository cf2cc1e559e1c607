import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Daemon } from '../lab/daemon.ts';
import { makeMessage } from '../lab/messages.ts';
import { describeReal } from './harness.ts';
import { World, until } from './world.ts';

const PATIENCE = { timeoutMs: 30_000 };

async function untilLogged(daemon: Daemon, event: string): Promise<void> {
  await daemon.until(`log ${event}`, () => daemon.linesOf(event).length > 0, PATIENCE);
}

/** An owner, and a daemon that stands by. */
async function startTwo(
  world: World,
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly [Daemon, Daemon]> {
  const first = world.startDaemon();
  await untilLogged(first, 'daemon.owner');
  const second = world.startDaemon(settings);
  await untilLogged(second, 'daemon.standby');
  return [first, second];
}

describeReal('one owner', () => {
  it('a second daemon stands by while the first is stopped, and takes over when it is killed', async () => {
    await using world = await World.make();
    const [first, second] = await startTwo(world);
    first.signal('SIGSTOP');
    await world.judge(makeMessage('spam', 1));
    await sleep(3_000);
    expect(second.linesOf('daemon.owner')).toEqual([]);
    expect(await world.filesIn('spam')).toHaveLength(1);
    first.signal('SIGCONT');
    await untilLogged(first, 'message.learned');
    await world.untilDone(10_000);
    expect(first.linesOf('message.learned')).toHaveLength(1);
    await first.kill();
    await untilLogged(second, 'daemon.owner');
    await world.judge(makeMessage('spam', 2));
    await untilLogged(second, 'message.learned');
    expect(second.linesOf('daemon.standby')).toHaveLength(1);
  });

  it('another state dir does not make a second owner', async () => {
    await using world = await World.make();
    const [first, second] = await startTwo(world, { LEARN_STATE_DIR: `${world.folder}/other` });
    await sleep(1_500);
    expect(second.linesOf('daemon.owner')).toEqual([]);
    await first.kill();
    await until('the second owns it', 30_000, () => second.linesOf('daemon.owner').length === 1);
  });
});
