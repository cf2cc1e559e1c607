import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { describeReal } from './harness.ts';
import { World, until } from './world.ts';

describeReal('one owner', () => {
  it(
    'a second daemon stands by and takes over when the first is killed',
    { timeout: 60_000 },
    async () => {
      await using world = await World.make();
      const first = await world.startDaemon();
      await first.until('own it', () => first.linesOf('daemon.owner').length > 0, {
        timeoutMs: 5_000,
      });
      const second = await world.startDaemon();
      await second.until('stand by', () => second.linesOf('daemon.standby').length > 0, {
        timeoutMs: 5_000,
      });
      await world.judge(makeMessage('spam', 1));
      await first.until('learn', () => first.linesOf('message.learned').length > 0, {
        timeoutMs: 10_000,
      });
      const killedAt = performance.now();
      await first.kill();
      await second.until('own it', () => second.linesOf('daemon.owner').length > 0, {
        timeoutMs: 5_000,
      });
      expect(performance.now() - killedAt).toBeLessThan(2_000);
      await world.judge(makeMessage('spam', 2));
      await second.until('learn', () => second.linesOf('message.learned').length > 0, {
        timeoutMs: 10_000,
      });
      expect(second.linesOf('daemon.standby')).toHaveLength(1);
    },
  );

  it('stays in stand-by while the first is only stopped', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    const first = await world.startDaemon();
    await first.until('own it', () => first.linesOf('daemon.owner').length > 0, {
      timeoutMs: 5_000,
    });
    const second = await world.startDaemon();
    await second.until('stand by', () => second.linesOf('daemon.standby').length > 0, {
      timeoutMs: 5_000,
    });
    first.signal('SIGSTOP');
    await world.judge(makeMessage('spam', 1));
    await sleep(4_000);
    expect(second.linesOf('daemon.owner')).toEqual([]);
    expect(await world.filesIn('spam')).toHaveLength(1);
    first.signal('SIGCONT');
    await world.untilDone(10_000);
    await first.until('say so', () => first.linesOf('message.learned').length > 0, {
      timeoutMs: 10_000,
    });
    expect(first.linesOf('message.learned')).toHaveLength(1);
  });

  it('another state dir does not make a second owner', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    const first = await world.startDaemon();
    await first.until('own it', () => first.linesOf('daemon.owner').length > 0, {
      timeoutMs: 5_000,
    });
    const second = await world.startDaemon({ LEARN_STATE_DIR: `${world.folder}/other` });
    await second.until('stand by', () => second.linesOf('daemon.standby').length > 0, {
      timeoutMs: 5_000,
    });
    await sleep(1_500);
    expect(second.linesOf('daemon.owner')).toEqual([]);
    await first.kill();
    await until('the second owns it', 3_000, () => second.linesOf('daemon.owner').length === 1);
  });
});
