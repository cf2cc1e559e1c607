import PQueue from 'p-queue';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeReal } from '../../real/harness.ts';
import { Bundle } from '../../service/bundle.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor, chanceOf } from '../../support/seed.ts';
import { killUnderLoad } from './load.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { stepsWorthAKill, tell } from './steps.ts';

/**
 * Kill anywhere: the built daemon is killed at every step that it takes on the file system and the
 * network, and at random moments under load. Whatever it was at, nothing is lost, cut off or in two
 * places, its writer meets no error, and each message's last verdict is what rspamd remembers.
 */
const KILLS = byLength({ short: 25, middle: 100, long: 2_000 });
/** Runs at a time: each waits for a start most of the time. */
const RUNS_AT_A_TIME = 3;
/** Kills until one daemon may finish its work: then rspamd is asked, and another one is started. */
const ROUND = 50;
const TIMEOUT_MS = byLength({ short: 180_000, middle: 900_000, long: 10_800_000 });

const chance = chanceFor('kill', 324_490_080);
const count = { steps: 0, missed: 0, random: 0, repeated: 0, messages: 0, judged: 0, forgotten: 0 };

function say(when: string): void {
  const figures = Object.entries(count).map(([what, figure]) => `${figure} ${what}`);
  process.stdout.write(`kill, ${when}: ${figures.join(', ')}\n`);
}

afterAll(() => {
  say('in all');
});

describe.concurrent('nothing is lost by a kill at any step', { timeout: TIMEOUT_MS }, () => {
  let bundle: Bundle;
  beforeAll(async () => {
    bundle = await Bundle.make();
  });
  afterAll(async () => {
    await bundle[Symbol.asyncDispose]();
  });
  const running = new PQueue({ concurrency: RUNS_AT_A_TIME });
  const program = (): string => bundle.path('bin/kopano-learnd.mjs');
  const lot = chance.pick(SCENARIOS);
  const seed = chance.below(2 ** 31);

  /** Those that matter most, and as many others of this scenario as this length of run has time for. */
  async function stepsOf(scenario: Scenario): Promise<readonly string[]> {
    const share = byLength({ short: scenario === lot ? 1 : 0, middle: 3, long: Infinity });
    if (share === 0) return scenario.always;
    const told = await running.add(() => tell(scenario, program()));
    const others = new Set(stepsWorthAKill(scenario, told.steps));
    for (const step of scenario.always) others.delete(step);
    const dice = chanceOf(seed);
    while (others.size > share) others.delete(dice.pick([...others]));
    return [...scenario.always, ...others];
  }

  const named = SCENARIOS.map((scenario) => [scenario.name, scenario] as const);
  it.each(named)('while %s', async (_, scenario) => {
    const missed: string[] = [];
    const killAt = async (step: string): Promise<void> => {
      const { isKilled, repeated } = await tell(scenario, program(), step);
      count.repeated += repeated;
      if (!isKilled) missed.push(step);
      else if ((count.steps += 1) % 100 === 0) say('so far');
    };
    const steps = await stepsOf(scenario);
    const results = await Promise.allSettled(steps.map((step) => running.add(() => killAt(step))));
    count.missed += missed.length;
    expect(
      results.flatMap((each) => (each.status === 'rejected' ? String(each.reason) : [])),
    ).toEqual([]);
    // How often a file is looked at before it is taken, the moment decides.
    expect(missed.filter((step) => !/lstatSync|accessSync|Dir\./.test(step))).toEqual([]);
  });
});

describeReal('nothing is lost by kills at random moments under load', () => {
  const seeds = [chance.below(2 ** 31), chance.below(2 ** 31)];

  it.concurrent.each([
    ['beside the spool', { elsewhere: false, after: 'remove' }],
    ['on another file system', { elsewhere: true, after: 'archive' }],
  ] as const)('with the state dir %s', { timeout: TIMEOUT_MS }, async (_, { elsewhere, after }) => {
    const own = chanceOf(seeds.pop() ?? 0);
    let left = Math.floor((KILLS - count.steps + (elsewhere ? 0 : 1)) / 2);
    for (; left > 0; left -= ROUND) {
      const kills = Math.min(left, ROUND);
      const result = await killUnderLoad({ chance: own, kills, elsewhere, after });
      count.random += kills;
      count.repeated += result.repeated;
      count.messages += result.messages;
      count.judged += result.judgements;
      count.forgotten += result.forgotten;
      say('so far');
    }
  });
});
