import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { makeMessage, makeMessages } from '../lab/messages.ts';
import type { Summary } from '../../src/relearn/summary.ts';
import { corpusIn } from '../support/relearn-sources.ts';
import { call } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { PrivateSpamd } from '../lab/private-spamd.ts';
import { examine } from '../support/examine.ts';
import { needsPrograms } from '../support/needs.ts';
import { World } from './world.ts';

/** Both filters with the same guarantees, by their own counters. */
describe('rspamd and spamd', needsPrograms('rspamd', 'redis-server', 'spamd'), () => {
  let spamd: PrivateSpamd;

  beforeAll(async () => {
    spamd = await PrivateSpamd.start();
  });

  afterAll(async () => {
    await spamd[Symbol.asyncDispose]();
  });

  const settings = (LEARN_TRAINERS: string): Record<string, string> => ({
    LEARN_TRAINERS,
    SPAMD_URL: `spamd://127.0.0.1:${spamd.port}`,
    SPAMD_TIMEOUT_SECONDS: '5',
  });

  /** What both have counted, as spam and as ham. */
  async function counts(world: World): Promise<readonly number[][]> {
    const [rspamd, spamassassin] = [await world.redis.bayesCounts(), await spamd.counts()];
    return [rspamd, spamassassin].map(({ spam, ham }) => [spam, ham]);
  }

  it('learn the same, unlearn what is turned, and know it all when asked again', async () => {
    await using world = await World.make();
    await spamd.clear();
    world.start(settings('rspamd,spamassassin'));
    await world.judgeMany(10, 20);
    await world.untilDone();
    expect(await counts(world)).toEqual([
      [5, 5],
      [5, 5],
    ]);
    // kopano-spamd writes what it has no original of with other bytes: a boundary of its own.
    const turned = makeMessage('spam', 0);
    const raw = Buffer.from(turned.raw.toString('latin1').replace(/\n$/, '\n\n'), 'latin1');
    await world.judge({ ...turned, raw }, 'ham');
    await world.judge(makeMessage('ham', 1), 'spam');
    await world.untilDone();
    expect(await counts(world)).toEqual([
      [5, 5],
      [5, 5],
    ]);
    await world.judge(makeMessage('ham', 3));
    await world.untilDone();
    const known = world.daemon.logged('message.duplicate', makeMessage('ham', 3).name);
    expect(known.map(({ trainer }) => trainer).sort()).toEqual(['rspamd', 'spamassassin']);
    const counted = await counts(world);
    expect(counted[0]).toEqual(counted[1]);
  });

  it('relearn teaches one after the other, and goes on where each of them was', async () => {
    await using world = await World.make();
    await spamd.clear();
    const messages = [...makeMessages('spam', 3), ...makeMessages('ham', 3)];
    const corpus = corpusIn(temporaryFolder(), messages);
    const journal = join(temporaryFolder(), 'journal');
    const relearn = async (filters: string, ...args: readonly string[]) => {
      const line = ['relearn', '--json', '--journal', journal, ...args];
      const { code, out, err } = await call(line, world.environment(settings(filters)));
      const summaries = out.split('\n').filter((each) => each !== '');
      return { code, err, runs: summaries.map((each) => JSON.parse(each) as Summary) };
    };
    const first = await relearn('spamassassin', corpus);
    expect(first).toMatchObject({ code: 0, runs: [{ trainer: 'spamassassin' }] });
    expect((await counts(world))[1]).toEqual([3, 3]);
    const again = await relearn('spamassassin', corpus);
    expect(again.runs[0]?.doneBefore).toEqual({ spam: 3, ham: 3 });
    // What one filter has learned is not taken for what the other one has.
    expect(await relearn('rspamd', corpus)).toMatchObject({ code: 64 });
    expect((await relearn('rspamd,spamassassin', '--spam', '-')).code).toBe(64);
  });

  it('doctor has nothing against the one that learns, and names what is wrong with the other', async () => {
    const env = { KOPANO_SPAMD_LIB: '/nowhere', ...settings('spamassassin') };
    const url = (port: number): string => `spamd://127.0.0.1:${port}`;
    const before = await spamd.counts();
    const well = await examine(env);
    expect(well.of(url(spamd.port)).map(({ state }) => state)).toEqual(['ok']);
    expect(await spamd.counts()).toEqual(before);
    await using deaf = await PrivateSpamd.start({ allowTell: false });
    const SPAMD_URL = url(deaf.port);
    const [fault] = (await examine({ ...env, SPAMD_URL })).of(SPAMD_URL);
    expect(fault).toMatchObject({ state: 'failed' });
    expect(fault?.text).toContain('--allow-tell');
  });
});
