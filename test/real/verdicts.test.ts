import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { describeReal } from './harness.ts';
import { byLength } from '../support/length.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

/** A spam that becomes ham, and a ham that becomes spam. */
const FLIPS = [
  { message: makeMessage('spam', 1), first: 'spam', last: 'ham' },
  { message: makeMessage('ham', 2), first: 'ham', last: 'spam' },
] as const;

/** What the user said at last is what rspamd remembers. */
async function expectLast(world: World): Promise<void> {
  await world.untilDone();
  for (const { message, last } of FLIPS) expect(await world.status(message, last)).toBe(208);
}

/** By Redis' own counters: unlearned in one class and learned in the other. */
async function expectOneOfEach(world: World): Promise<void> {
  expect(await world.redis.bayesCounts()).toEqual({ spam: 1, ham: 1 });
}

async function judgeAll(world: World, when: 'first' | 'last'): Promise<void> {
  for (const { message, [when]: verdict } of FLIPS) await world.judge(message, verdict);
}

async function untilQueued(world: World, when: 'first' | 'last'): Promise<void> {
  await until(`the ${when} verdicts are queued`, () => {
    const { waiting } = world;
    return FLIPS.every(({ message, [when]: verdict }) =>
      waiting.includes(`queue/${verdict}/${message.name}`),
    );
  });
}

describeReal('the latest verdict wins', () => {
  it('when it changes at once, and when it changes much later', async () => {
    await using world = await World.make();
    world.start();
    await judgeAll(world, 'first');
    await judgeAll(world, 'last');
    await expectLast(world);
    await expectOneOfEach(world);
    await sleep(byLength({ short: 1_000, middle: 1_000, long: 60_000 }));
    await judgeAll(world, 'first');
    await world.untilDone();
    await judgeAll(world, 'last');
    await expectLast(world);
    await expectOneOfEach(world);
  });

  it('when it changes while in flight', async () => {
    await using world = await World.make();
    const daemon = world.start();
    // After a start the first post goes alone.
    await world.judge(makeMessage('ham', 3));
    await daemon.learns(1);
    world.rspamd.freeze();
    await judgeAll(world, 'first');
    await untilQueued(world, 'first');
    await sleep(100);
    await judgeAll(world, 'last');
    await sleep(500);
    // What is in flight keeps its place: the newer one waits in the drop directory.
    for (const { last } of FLIPS) expect(world.names(`drop/${last}`)).toHaveLength(1);
    world.rspamd.resume();
    await expectLast(world);
  });

  it('when it changes while deferred', async () => {
    await using world = await World.make();
    await world.rspamd.stop();
    world.start();
    await judgeAll(world, 'first');
    await until('rspamd is missed', () => {
      return world.daemon.linesOf('controller.down').length > 0;
    });
    await untilQueued(world, 'first');
    await judgeAll(world, 'last');
    await untilQueued(world, 'last');
    expect(world.waiting).toHaveLength(2);
    expect(world.daemon.linesOf('message.superseded')).toHaveLength(2);
    await world.rspamd.start();
    await expectLast(world);
    await expectOneOfEach(world);
  });

  it('across two controllers of which one freezes', async () => {
    const frozenMs = byLength({ short: 6_000, middle: 12_000, long: 60_000 });
    const timeout = byLength({ short: '2', middle: '5', long: '30' });
    await using world = await World.make({ controllers: 2 });
    world.start({ RSPAMD_TIMEOUT_SECONDS: timeout });
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
      if (world.waiting.includes(`queue/spam/${message.name}`)) {
        inFlight = message.name;
      }
    }
    const frozenAt = performance.now();
    const flipped = makeMessage('spam', seed);
    await world.judge(flipped, 'ham');
    const before = world.daemon.linesOf('message.learned').length;
    let done = 0;
    while (performance.now() - frozenAt < frozenMs) {
      await world.judge(makeMessage('ham', 1_000 + done));
      done += 1;
      await sleep(400);
    }
    // Half of them prefer the frozen one and wait for its first timeout, no longer.
    const others = (): number => world.daemon.linesOf('message.learned').length - before;
    await until('a third of the others is learned', () => others() > done / 3);
    first.resume();
    await world.untilDone();
    expect(await world.status(flipped, 'ham', second)).toBe(208);
    expect(await world.status(flipped, 'ham', first)).toBe(208);
    expect(world.quarantined).toEqual([]);
  });
});

describeReal('learned messages', () => {
  it('are archived by day with one verdict, and days that are older than is kept go', async () => {
    await using world = await World.make();
    const day = new Date().toISOString().slice(0, 10);
    const old = join(world.stateDir, 'archive/spam/2020-01-31');
    for (const folder of [world.stateDir, join(old, '../..'), join(old, '..'), old]) {
      await mkdir(folder, { mode: 0o700 });
    }
    await writeFile(join(old, 'a.eml'), 'x');
    world.start({ LEARN_AFTER: 'archive' });
    const message = makeMessage('spam', 1);
    await world.judge(message);
    await world.untilDone();
    expect(world.names(`archive/spam/${day}`)).toEqual([message.name]);
    await world.judge(message, 'ham');
    await world.untilDone();
    expect(world.names(`archive/ham/${day}`)).toEqual([message.name]);
    expect(world.names(`archive/spam/${day}`)).toEqual([]);
    await until('the old day is gone', () => !existsSync(old));
  });
});

/** It says once what to change, and the cure names it. */
async function untilMisconfigured(world: World, cure: RegExp): Promise<void> {
  await until('it says so', () => {
    return world.daemon.linesOf('controller.misconfigured').length === 1;
  });
  expect(world.daemon.linesOf('controller.misconfigured')[0]?.fields['cure']).toMatch(cure);
}

describeReal('a controller that will not learn', () => {
  it('holds everything at a wrong password, and needs none at the Unix socket', async () => {
    await using world = await World.make({
      rspamd: { password: 'right', secureIp: [], unixSocket: true },
    });
    await writeFile(join(world.folder, 'password'), 'wrong\n');
    const daemon = world.start({
      RSPAMD_PASSWORD_FILE: join(world.folder, 'password'),
    });
    for (let seed = 0; seed < 20; seed += 1) await world.judge(makeMessage('ham', seed));
    await untilMisconfigured(world, /RSPAMD_PASSWORD/);
    await writeFile(join(world.folder, 'password'), 'right\n');
    await world.untilDone();
    expect(world.quarantined).toEqual([]);
    expect((await world.redis.bayesCounts()).ham).toBe(20);
    await daemon.stop();
    world.start({ RSPAMD_URL: `unix:${world.rspamd.socketPath}` });
    await world.judge(makeMessage('ham', 20));
    await world.untilDone();
    expect((await world.redis.bayesCounts()).ham).toBe(21);
  });

  it('holds everything without a Bayes backend, and at the scan worker', async () => {
    await using world = await World.make({ rspamd: { redisPort: null } });
    const daemon = world.start();
    await world.judge(makeMessage('ham', 1));
    await untilMisconfigured(world, /Redis/);
    expect(world.waiting).toHaveLength(1);
    await daemon.stop();
    world.start({ RSPAMD_URL: `http://127.0.0.1:${world.rspamd.scannerPort}` });
    await untilMisconfigured(world, /11334/);
    expect(world.waiting).toHaveLength(1);
  });
});
