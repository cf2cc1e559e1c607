import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { PrivateSpamd } from '../../lab/private-spamd.ts';
import { makeMessage } from '../../lab/messages.ts';
import { World, until } from '../../real/world.ts';
import { needsPrograms } from '../../support/needs.ts';
import { startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

const PATIENCE_MS = 60_000;

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
  await until('a child has it', PATIENCE_MS, () => takers(spamd).length > before);
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
  await until('the child is done', PATIENCE_MS, () => told() > before);
  await world.untilDone(PATIENCE_MS);
}

describe('a child of spamd that wakes', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  it('does not undo a verdict by what it was sent by a daemon that was killed', async () => {
    await using spamd = await startSpamd({ children: 2 });
    await using world = await World.make();
    const settings = settingsFor(spamd.port);
    const daemon = await world.spawnDaemon(settings);
    await world.judge(makeMessage('spam', 1));
    await world.untilDone(PATIENCE_MS);
    const turned = makeMessage('spam', 2);
    const child = await freezeTaker(spamd, () => world.judge(turned, 'spam'));
    await daemon.kill();
    await world.judge(turned, 'ham');
    const second = await world.spawnDaemon(settings);
    const isTaken = async (): Promise<boolean> => (await world.filesIn('ham')).length === 0;
    await until('the turned one is picked up', PATIENCE_MS, isTaken);
    await wakeLate(child, spamd, world);
    expect(await spamd.counts()).toMatchObject({ spam: 2, ham: 1 });
    expect(second.linesOf('message.deferred')).toEqual([]);
  });

  it('nor by what it was to forget', async () => {
    await using spamd = await startSpamd({ children: 2 });
    await using world = await World.make();
    const settings = settingsFor(spamd.port);
    const daemon = await world.spawnDaemon(settings);
    const message = makeMessage('spam', 1);
    await world.judge(message);
    await world.untilDone(PATIENCE_MS);
    const turned = { ...message, raw: Buffer.concat([message.raw, Buffer.from('More.\n')]) };
    const child = await freezeTaker(spamd, () => world.judge(turned, 'ham'));
    await daemon.kill();
    // Nothing but the queue: the turned one is not told again.
    const idle = await world.spawnDaemon(settingsFor(1));
    await world.judge(message);
    const isBack = async (): Promise<boolean> =>
      (await world.filesIn('.learnd/queue/spam')).length === 1;
    await until('it is turned back', PATIENCE_MS, isBack);
    await idle.stop();
    await world.spawnDaemon(settings);
    await wakeLate(child, spamd, world);
    expect(await spamd.counts()).toMatchObject({ spam: 2, ham: 0 });
  });
});
