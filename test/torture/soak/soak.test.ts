import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { FINAL_RESULTS } from '../../../src/delivery/result.ts';
import { describeReal } from '../../real/harness.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor, chanceOf } from '../../support/seed.ts';
import { samplesOf } from '../../support/status-pages.ts';
import type { Chance } from '../../support/seed.ts';
import { Faults, NEW_TENURE } from './faults.ts';
import { held, told } from './gauge.ts';
import type { Reading } from './gauge.ts';
import { messageOf } from '../users.ts';
import { SoakWorld } from './world.ts';
import type { Place } from './world.ts';

/**
 * The soak: the daemon in service for a while, fifty messages a second, and one fault after the
 * other. What it holds is compared between rests, moments at which everything is learned: the first
 * one at the end of a warm-up with faults of its own, the last after a stretch of calm.
 *
 * | length | warm-up | until the last rest | rests | faults every |
 * | ------ | ------- | ------------------- | ----- | ------------ |
 * | short  | 8 s     | 17 s                | 2     | 2 s          |
 * | middle | 30 s    | 54 s                | 3     | 3 s          |
 * | long   | 2 min   | 28 min              | 8     | 10 s         |
 */
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const { warmUpMs, stretchMs, stretches, calmMs, faults } = byLength({
  short: {
    warmUpMs: 8 * SECOND,
    stretchMs: 12 * SECOND,
    stretches: 1,
    calmMs: 5 * SECOND,
    faults: { everyMs: 2 * SECOND, shortestMs: 500, longestMs: 1_500 },
  },
  middle: {
    warmUpMs: 30 * SECOND,
    stretchMs: 22 * SECOND,
    stretches: 2,
    calmMs: 10 * SECOND,
    faults: { everyMs: 3 * SECOND, shortestMs: 500, longestMs: 2_500 },
  },
  long: {
    warmUpMs: 2 * MINUTE,
    stretchMs: 3.75 * MINUTE,
    stretches: 7,
    calmMs: 1.75 * MINUTE,
    faults: { everyMs: 10 * SECOND, shortestMs: 1_000, longestMs: 7_000 },
  },
});
const PLACE = byLength<Place>({
  short: 'on a disk of its own',
  middle: 'beside the spool',
  long: 'on a disk of its own',
});
/**
 * How much more may be alive at the last rest than at the first. In the shorter forms V8 is still at
 * compiling what it has found to be worth it, up to 1 MB of machine code: that isn't counted there.
 */
const HEAP_MB = 1;
const heapMb = byLength({ short: withoutCode, middle: withoutCode, long: whole });
/** As in the controller suite; with at most eight bodies of a kilobyte in flight, probe included. */
const PEAK_MB = 150;
/** Messages that are asked for at a rest, beside all whose verdict was changed. */
const SAMPLE = byLength({ short: 40, middle: 100, long: 200 });

/** One run of the soak. */
class Soak {
  /** Before the first message, then at each rest. */
  readonly readings: Reading[] = [];
  /** Messages that rspamd didn't know as they were last judged, and how many were asked for. */
  readonly forgotten: string[] = [];
  asked = 0;
  readonly world: SoakWorld;
  readonly faults: Faults;
  readonly #chance: Chance;
  /** Names that were there at the last rest. */
  #seen = 0;

  constructor(world: SoakWorld, chance: Chance) {
    this.world = world;
    this.#chance = chance;
    this.faults = new Faults(world, chanceOf(chance.below(2 ** 31)), faults);
  }

  async run(): Promise<void> {
    const { users, pulse, gauge } = this.world;
    // chokidar has a timer for each folder in the second after a change of it.
    await sleep(2_000);
    this.readings.push(await gauge.steady());
    const writing = users.run();
    pulse.start();
    await this.faults.run(warmUpMs / 2);
    await this.faults.happen(NEW_TENURE);
    await this.faults.run(warmUpMs / 2);
    await this.#rest();
    for (let i = 1; i < stretches; i += 1) {
      await this.faults.run(stretchMs);
      await this.#rest();
    }
    await this.faults.run(stretchMs);
    await sleep(calmMs);
    users.stop();
    await writing;
    await this.#rest();
    await pulse.stop();
  }

  /** What the daemon holds when there is nothing to do, and what rspamd remembers. */
  #rest(): Promise<void> {
    const { world } = this;
    return world.users.without(async () => {
      await world.untilDrained();
      const reading = await world.gauge.steady(this.readings[0]);
      this.readings.push(reading);
      process.stdout.write(`after ${world.users.writes} messages: ${told(reading)}\n`);
      await this.#askRspamd();
    });
  }

  /** Asks for all changed verdicts since the last rest, and for some others. */
  async #askRspamd(): Promise<void> {
    const { users, world } = this.world;
    const names = [...users.judged.keys()].slice(this.#seen);
    this.#seen = users.judged.size;
    const sample = Array.from({ length: SAMPLE }, () => this.#chance.pick(names));
    for (const name of new Set([...sample, ...names.filter((each) => users.changed.has(each))])) {
      const judged = users.judged.get(name);
      if (judged === undefined || judged.isShort) continue;
      const status = await world.status(messageOf(judged), judged.verdict);
      this.asked += 1;
      if (status !== 208) this.forgotten.push(`${name} as ${judged.verdict}: ${status}`);
    }
  }
}

describeReal('with fifty messages a second and one fault after the other', () => {
  it(
    `nothing is lost and nothing piles up, the state dir ${PLACE}`,
    { timeout: warmUpMs + stretches * stretchMs + calmMs + 15 * MINUTE },
    async () => {
      const chance = chanceFor('soak', 324_416_619);
      await using world = await SoakWorld.make(PLACE, chance);
      const soak = new Soak(world, chance);
      await soak.run();
      process.stdout.write(
        `${soak.faults.happened.length} faults: ${soak.faults.happened.join(', ')}\n` +
          `${world.pulse.beats} visits, the slowest ${world.pulse.slowestMs.toFixed(0)} ms; ` +
          `${soak.asked} asked for, ${soak.forgotten.length} forgotten\n`,
      );
      expectFlat(soak.readings);
      expect(world.pulse.complaints).toEqual([]);
      expect(world.log.strange).toEqual([]);
      await expectAccounted(world);
      // After restarts rspamd forgets some of what it acknowledged twice (1 % observed).
      expect(soak.forgotten.length, soak.forgotten.join(', ')).toBeLessThanOrEqual(
        Math.ceil(soak.asked / 100),
      );
    },
  );
});

function expectFlat(readings: readonly Reading[]): void {
  const [start, first, ...others] = readings;
  const last = others.at(-1);
  if (start === undefined || first === undefined || last === undefined) {
    throw new Error('there was no rest');
  }
  for (const reading of [first, ...others]) expect(held(reading)).toEqual(held(start));
  expect(heapMb(last) - heapMb(first)).toBeLessThan(HEAP_MB);
  expect(last.peakMb).toBeLessThan(PEAK_MB);
}

/** Every file that was written ended, and ended once; set aside was only the poison. */
async function expectAccounted({ users, log, poison, pages }: SoakWorld): Promise<void> {
  expect(users.errors).toEqual([]);
  const wrong: string[] = [];
  const expected = new Map([...users.judged].map(([name, { writes }]) => [name, writes]));
  const poisonous = new Set(poison.values());
  for (const name of poisonous) expected.set(name, 1);
  for (const [name, writes] of expected) {
    const endings = log.endings.get(name) ?? [];
    const isPoison = poisonous.has(name);
    if (endings.length !== writes) wrong.push(`${name}, written ${writes} x: ${endings.join()}`);
    else if (endings.includes('quarantined') !== isPoison) wrong.push(`${name}: ${endings.join()}`);
  }
  expect(wrong).toEqual([]);
  // The counters say the same as the log, and as the writer.
  const { text } = await pages.get('/metrics');
  const counters = samplesOf(text, 'kopano_learnd_messages_total');
  const counted: Record<string, number> = {};
  const logged: Record<string, number> = {};
  for (const ending of FINAL_RESULTS) {
    const those = [...counters].filter(([labels]) => labels.endsWith(`outcome="${ending}"`));
    counted[ending] = those.reduce((sum, [, count]) => sum + count, 0);
    logged[ending] = log.count(`message.${ending}`);
  }
  process.stdout.write(`${JSON.stringify(counted)}\n`);
  expect(counted).toEqual(logged);
  expect(Object.values(counted).reduce((sum, count) => sum + count, 0)).toBe(users.writes);
}

function whole({ heapUsed }: Reading): number {
  return heapUsed / 2 ** 20;
}

function withoutCode({ heapUsed, machineCode }: Reading): number {
  return (heapUsed - machineCode) / 2 ** 20;
}
