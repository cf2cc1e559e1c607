import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { PrivateSpamd } from '../../lab/private-spamd.ts';
import { makeMessage } from '../../lab/messages.ts';
import { World } from '../../real/world.ts';
import { until } from '../../support/until.ts';
import { needsPrograms } from '../../support/needs.ts';
import { startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

const settingsFor = (port: number) => ({
  LEARN_TRAINERS: 'spamassassin',
  SPAMD_URL: `spamd://127.0.0.1:${port}`,
  // what a killed daemon sent is waited for eleven times as long
  SPAMD_TIMEOUT_SECONDS: '2',
});

/** The child that took each connection, the first one first. */
function takers({ log }: PrivateSpamd): number[] {
  return [...log.matchAll(/\[(\d+)\] info: spamd: connection from/g)].map(([, pid]) => Number(pid));
}

/** Freezes the child that is at the next message, which it gets as far as the lock of Bayes. */
async function freezeTaker(spamd: PrivateSpamd, judge: () => Promise<void>): Promise<number> {
  writeFileSync(`${spamd.bayesPath}.lock`, 'localhost 1\n');
  const before = takers(spamd).length;
  await judge();
  await until('a child has it', () => takers(spamd).length > before);
  const child = takers(spamd).at(-1) ?? 0;
  process.kill(child, 'SIGSTOP');
  await spamd.unlock();
  return child;
}

/** Lets it carry out what it was told, once the next daemon has learned something else. */
async function wakeLate(child: number, spamd: PrivateSpamd, world: World): Promise<void> {
  const other = makeMessage('spam', 3);
  await world.judge(other);
  await world.daemon.says('message.learned', other.name);
  const told = (): number => spamd.log.split(`[${child}] info: spamd: Tell:`).length;
  const before = told();
  process.kill(child, 'SIGCONT');
  await until('the child is done', () => told() > before);
  await world.untilDone();
}

describe('a child of spamd that wakes', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  it('does not undo a verdict by what it was sent by a daemon that was killed', async () => {
    await using spamd = await startSpamd({ children: 2 });
    await using world = await World.make();
    const settings = settingsFor(spamd.port);
    const daemon = await world.spawn(settings);
    await world.judge(makeMessage('spam', 1));
    await world.untilDone();
    const turned = makeMessage('spam', 2);
    const child = await freezeTaker(spamd, () => world.judge(turned, 'spam'));
    await daemon.kill();
    await world.judge(turned, 'ham');
    const second = await world.spawn(settings);
    await until('the turned one is picked up', () => world.names('drop/ham').length === 0);
    await wakeLate(child, spamd, world);
    expect(await spamd.counts()).toMatchObject({ spam: 2, ham: 1 });
    expect(second.linesOf('message.deferred')).toEqual([]);
  });

  it('nor by what it was to forget', async () => {
    await using spamd = await startSpamd({ children: 2 });
    await using world = await World.make();
    const settings = settingsFor(spamd.port);
    const daemon = await world.spawn(settings);
    const message = makeMessage('spam', 1);
    await world.judge(message);
    await world.untilDone();
    const turned = { ...message, raw: Buffer.concat([message.raw, Buffer.from('More.\n')]) };
    const child = await freezeTaker(spamd, () => world.judge(turned, 'ham'));
    await daemon.kill();
    // Nothing but the queue: the turned one is not told again.
    const idle = await world.spawn(settingsFor(1));
    await world.judge(message);
    await until('it is turned back', () => world.names('queue/spam').length === 1);
    await idle.stop();
    await world.spawn(settings);
    await wakeLate(child, spamd, world);
    expect(await spamd.counts()).toMatchObject({ spam: 2, ham: 0 });
  });
});
