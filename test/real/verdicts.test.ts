import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeMessage, tooShortMessage } from '../lab/messages.ts';
import type { Verdict } from '../../src/verdict.ts';
import { describeReal } from './harness.ts';
import { byLength } from '../support/length.ts';
import { World, until } from './world.ts';

const FLIPS = [
  ['spam', 'ham'],
  ['ham', 'spam'],
] as const;

async function expectLast(
  world: World,
  seed: number,
  first: Verdict,
  last: Verdict,
): Promise<void> {
  await world.untilDone(30_000);
  expect(await world.status(makeMessage(first, seed), last)).toBe(208);
}

describeReal('the latest verdict wins', () => {
  it.each(FLIPS)('when %s becomes %s at once', { timeout: 60_000 }, async (first, last) => {
    await using world = await World.make();
    await world.startDaemon();
    const message = makeMessage(first, 1);
    await world.judge(message, first);
    await world.judge(message, last);
    await expectLast(world, 1, first, last);
    expect(await world.redis.bayesCounts()).toEqual({ spam: 0, ham: 0, [last]: 1 });
  });

  it.each(FLIPS)('when %s becomes %s while in flight', { timeout: 60_000 }, async (first, last) => {
    await using world = await World.make();
    await world.startDaemon();
    const message = makeMessage(first, 1);
    world.rspamd.freeze();
    await world.judge(message, first);
    await until('it is in the queue', 5_000, async () => {
      return (await world.filesIn(`.learnd/queue/${first}`)).length === 1;
    });
    await sleep(100);
    await world.judge(message, last);
    await sleep(500);
    // What is in flight keeps its place: the newer one waits in the drop directory.
    expect(await world.filesIn(last)).toHaveLength(1);
    world.rspamd.resume();
    await expectLast(world, 1, first, last);
  });

  it.each(FLIPS)('when %s becomes %s while deferred', { timeout: 60_000 }, async (first, last) => {
    await using world = await World.make();
    await world.rspamd.stop();
    await world.startDaemon();
    const message = makeMessage(first, 1);
    await world.judge(message, first);
    await until('rspamd is missed', 10_000, () => {
      return world.daemon.linesOf('controller.down').length > 0;
    });
    await world.judge(message, last);
    await until('the newer one takes its place', 10_000, async () => {
      return (await world.filesIn(`.learnd/queue/${last}`)).length === 1;
    });
    expect(await world.filesIn(`.learnd/queue/${first}`)).toEqual([]);
    expect(world.daemon.linesOf('message.superseded')).toHaveLength(1);
    await world.rspamd.start();
    await expectLast(world, 1, first, last);
    expect(await world.redis.bayesCounts()).toEqual({ spam: 0, ham: 0, [last]: 1 });
  });

  it.each(FLIPS)('when %s becomes %s much later', { timeout: 180_000 }, async (first, last) => {
    await using world = await World.make();
    await world.startDaemon();
    const message = makeMessage(first, 1);
    await world.judge(message, first);
    await world.untilDone(20_000);
    expect(await world.redis.bayesCounts()).toEqual({ spam: 0, ham: 0, [first]: 1 });
    await sleep(byLength({ short: 1_000, middle: 1_000, long: 60_000 }));
    await world.judge(message, last);
    await expectLast(world, 1, first, last);
    // Unlearned in one class and learned in the other, by Redis' own counters.
    expect(await world.redis.bayesCounts()).toEqual({ spam: 0, ham: 0, [last]: 1 });
  });

  it('across two controllers of which one freezes', { timeout: 240_000 }, async () => {
    const frozenMs = byLength({ short: 6_000, middle: 12_000, long: 60_000 });
    const timeout = byLength({ short: '2', middle: '5', long: '30' });
    await using world = await World.make({ controllers: 2 });
    await world.startDaemon({ RSPAMD_TIMEOUT_SECONDS: timeout });
    const [first, second] = world.rspamds;
    if (first === undefined || second === undefined) throw new Error('two controllers wanted');
    // A key that goes to the first controller: freezing that one leaves it unanswered.
    first.freeze();
    let seed = 0;
    let inFlight = '';
    while (inFlight === '') {
      seed += 1;
      const message = makeMessage('spam', seed);
      await world.judge(message);
      await sleep(700);
      if ((await world.waiting()).includes(`.learnd/queue/spam/${message.name}`)) {
        inFlight = message.name;
      }
    }
    const frozenAt = performance.now();
    const flipped = makeMessage('spam', seed);
    await world.judge(flipped, 'ham');
    let done = 0;
    while (performance.now() - frozenAt < frozenMs) {
      const other = makeMessage('ham', 1_000 + done);
      await world.judge(other);
      done += 1;
      await sleep(400);
    }
    const others = world.daemon
      .linesOf('message.learned')
      .filter(({ fields }) => fields['file'] !== inFlight);
    // Half of them prefer the frozen one and wait for its first timeout, no longer.
    expect(others.length).toBeGreaterThan(done / 3);
    first.resume();
    await world.untilDone(120_000);
    expect(await world.status(flipped, 'ham', second)).toBe(208);
    expect(await world.status(flipped, 'ham', first)).toBe(208);
    expect(await world.quarantined()).toEqual([]);
  });
});

describeReal('single messages', () => {
  it('refuses a too short one once', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    await world.startDaemon();
    const short = tooShortMessage('spam');
    await world.judge(short);
    await world.judge(makeMessage('ham', 1));
    await world.untilDone(20_000);
    await sleep(2_000);
    const refused = world.daemon.linesOf('message.refused');
    expect(refused.map(({ fields }) => fields['file'])).toEqual([short.name]);
    expect(String(refused[0]?.fields['reason'])).toMatch(/^204 .*less tokens/);
    expect(await world.quarantined()).toEqual([]);
  });

  it('says duplicate of what rspamd knew before', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    const message = makeMessage('spam', 7);
    expect(await world.status(message, 'spam')).toBe(200);
    await world.startDaemon();
    await world.judge(message);
    await world.untilDone(20_000);
    const duplicates = (): number => world.daemon.linesOf('message.duplicate').length;
    await world.daemon.until('say so', () => duplicates() > 0, { timeoutMs: 10_000 });
    expect(duplicates()).toBe(1);
    expect(await world.redis.bayesCounts()).toEqual({ spam: 1, ham: 0 });
  });

  it('leaves an empty file where it is and learns the others', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    await world.startDaemon();
    await writeFile(join(world.lib, 'spam', 'empty.eml'), '');
    await world.judge(makeMessage('spam', 1));
    await until('the other one is learned', 20_000, () => {
      return world.daemon.linesOf('message.learned').length === 1;
    });
    expect(await world.waiting()).toEqual(['spam/empty.eml']);
  });

  it(
    'never takes a file before its finishing mark, nor a partial one',
    { timeout: 60_000 },
    async () => {
      await using world = await World.make();
      await world.startDaemon();
      for (let seed = 0; seed < 5; seed += 1) {
        const message = makeMessage('ham', seed);
        const outcome = await world.write({
          verdict: 'ham',
          name: message.name,
          body: message.raw,
          chunks: 4,
          pauseMs: 250,
          pauseBeforeMarkMs: 400,
          createMode: 0o600,
        });
        expect(outcome.kind).toBe('written');
        world.sent.set(message.name, { message, verdict: 'ham' });
      }
      await world.untilDone(20_000);
      expect(await world.forgotten()).toEqual([]);
      expect((await world.redis.bayesCounts()).ham).toBe(5);
    },
  );

  it('archives by day and keeps one verdict of it', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    await world.startDaemon({ LEARN_AFTER: 'archive' });
    const message = makeMessage('spam', 1);
    await world.judge(message);
    await world.untilDone(20_000);
    const day = new Date().toISOString().slice(0, 10);
    expect(await world.filesIn(`.learnd/archive/spam/${day}`)).toEqual([message.name]);
    await world.judge(message, 'ham');
    await world.untilDone(20_000);
    expect(await world.filesIn(`.learnd/archive/ham/${day}`)).toEqual([message.name]);
    expect(await world.filesIn(`.learnd/archive/spam/${day}`)).toEqual([]);
  });

  it('removes archive days that are older than is kept', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    const archive = join(world.lib, '.learnd/archive/spam');
    for (const folder of [
      join(world.lib, '.learnd'),
      join(world.lib, '.learnd/archive'),
      archive,
    ]) {
      await mkdir(folder, { mode: 0o700 });
    }
    const today = new Date().toISOString().slice(0, 10);
    for (const day of ['2020-01-31', today]) {
      await mkdir(join(archive, day));
      await writeFile(join(archive, day, 'a.eml'), 'x');
    }
    await world.startDaemon();
    await until('the old day is gone', 10_000, async () => {
      return (await world.filesIn('.learnd/archive/spam')).length === 1;
    });
    expect(await world.filesIn('.learnd/archive/spam')).toEqual([today]);
  });
});

describeReal('a controller that will not learn', () => {
  it('holds everything at a wrong password', { timeout: 60_000 }, async () => {
    await using world = await World.make({ rspamd: { password: 'right', secureIp: [] } });
    await writeFile(join(world.folder, 'password'), 'wrong\n');
    await world.startDaemon({ RSPAMD_PASSWORD_FILE: join(world.folder, 'password') });
    for (let seed = 0; seed < 20; seed += 1) await world.judge(makeMessage('ham', seed));
    await until('it says so', 10_000, () => {
      return world.daemon.linesOf('controller.misconfigured').length === 1;
    });
    expect(world.daemon.linesOf('controller.misconfigured')[0]?.fields['cure']).toMatch(
      /RSPAMD_PASSWORD/,
    );
    await writeFile(join(world.folder, 'password'), 'right\n');
    await world.untilDone(20_000);
    expect(await world.quarantined()).toEqual([]);
    expect((await world.redis.bayesCounts()).ham).toBe(20);
  });

  it('holds everything without a Bayes backend', { timeout: 60_000 }, async () => {
    await using world = await World.make({ rspamd: { redisPort: null } });
    await world.startDaemon();
    await world.judge(makeMessage('ham', 1));
    await until('it says so', 10_000, () => {
      return world.daemon.linesOf('controller.misconfigured').length === 1;
    });
    expect(world.daemon.linesOf('controller.misconfigured')[0]?.fields['cure']).toMatch(/Redis/);
    expect(await world.waiting()).toHaveLength(1);
  });

  it('holds everything at the scan worker', { timeout: 60_000 }, async () => {
    await using world = await World.make();
    await world.startDaemon({ RSPAMD_URL: `http://127.0.0.1:${world.rspamd.scannerPort}` });
    await world.judge(makeMessage('ham', 1));
    await until('it says so', 10_000, () => {
      return world.daemon.linesOf('controller.misconfigured').length === 1;
    });
    expect(world.daemon.linesOf('controller.misconfigured')[0]?.fields['cure']).toMatch(/11334/);
    expect(await world.waiting()).toHaveLength(1);
  });

  it('learns over the Unix socket without a password', { timeout: 60_000 }, async () => {
    await using world = await World.make({
      rspamd: { password: 'right', secureIp: [], unixSocket: true },
    });
    await world.startDaemon({ RSPAMD_URL: `unix:${world.rspamd.socketPath}` });
    await world.judge(makeMessage('ham', 1));
    await world.untilDone(20_000);
    expect((await world.redis.bayesCounts()).ham).toBe(1);
  });
});
