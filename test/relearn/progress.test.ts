import { expect, test } from 'vitest';
import { Progress } from '../../src/relearn/progress.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import { VERDICTS } from '../../src/verdict.ts';
import { ManualClock } from '../support/manual-clock.ts';

const WIPE = '\r\u001b[K';

function progressOf(kind: 'bar' | 'lines' | 'none', total: number | undefined) {
  const clock = new ManualClock();
  const stats = new RunStats(VERDICTS);
  const seen = { total, acknowledged: 0, columns: 80, hasColour: false };
  const written: string[] = [];
  const progress = new Progress({
    err: (text) => written.push(text),
    errTerminal: kind === 'bar' ? seen : undefined,
    isQuiet: kind === 'none',
    clock,
    stats,
    total: () => seen.total,
    acknowledged: () => seen.acknowledged,
  });
  const passBy = (count: number): void => {
    for (let i = 0; i < count; i += 1) {
      stats.found({ kind: 'doneBefore', place: `${i}` }, 'spam');
    }
  };
  const learn = (count: number): void => {
    for (let i = 0; i < count; i += 1)
      stats.finished('m', 'spam', { kind: 'learned', proven: true });
  };
  progress.start();
  return { clock, seen, written, progress, learn, passBy };
}

test('without a terminal a line is written every ten seconds', () => {
  const { clock, written, learn, passBy, progress } = progressOf('lines', 1_100);
  passBy(100);
  clock.advance(9_900);
  expect(written).toEqual([]);
  learn(100);
  clock.advance(10_100);
  expect(written).toHaveLength(2);
  expect(written[1]).toBe('200/1100 18 %  5/s  0:03:00 left  learned 100\n');
  progress.stop();
  clock.advance(60_000);
  expect(written).toHaveLength(2);
});

test('on a terminal there is one line that is written over', () => {
  const { clock, written, learn, progress } = progressOf('bar', 200);
  learn(50);
  clock.advance(2_000);
  expect(written.at(-1)).toBe(
    `${WIPE}[#####---------------] 50/200 25 %  25/s  0:00:06 left  learned 50`,
  );
  expect(written.join('')).not.toContain('\n');
  progress.say('a line');
  expect(written.slice(-2)).toEqual([WIPE, 'a line\n']);
  clock.advance(200);
  progress.stop();
  expect(written.at(-1)).toBe(WIPE);
});

test('a line of its own fits the terminal, and is whole elsewhere', () => {
  const { written, seen, progress } = progressOf('bar', undefined);
  const line = `kopano-learnd: waiting: ${'rspamd does not answer '.repeat(9)}`.trim();
  progress.say(line);
  expect(Math.max(...(written[0]?.split('\n') ?? []).map(({ length }) => length))).toBeLessThan(81);
  expect(written[0]?.replace(/\n {4}/g, ' ')).toBe(`${line}\n`);
  seen.columns = Infinity;
  progress.say(line);
  expect(written[1]).toBe(`${line}\n`);
});

test('the line leaves the last column of the terminal free, however wide that is made', () => {
  const { clock, written, learn, seen } = progressOf('bar', 200);
  learn(50);
  for (const columns of [40, 60, 30]) {
    seen.columns = columns;
    clock.advance(2_000);
    expect(written.at(-1)?.slice(WIPE.length)).toHaveLength(columns - 1);
  }
});

test('a line that says nothing new is not written again', () => {
  const { clock, written, learn, progress } = progressOf('bar', undefined);
  clock.advance(60_000);
  expect(written).toEqual([`${WIPE}0/?  0/s  ? left`]);
  progress.say('a line');
  clock.advance(200);
  expect(written.at(-1)).toBe(`${WIPE}0/?  0/s  ? left`);
  learn(1);
  clock.advance(200);
  expect(written.at(-1)).toContain('learned 1');
});

test('what is acknowledged counts before it is proven, from the first message on', () => {
  const { clock, seen, written, passBy } = progressOf('bar', 1_100);
  passBy(100);
  clock.advance(60_000);
  expect(written.at(-1)).toContain('100/1100 9 %  0/s  ? left');
  seen.acknowledged = 100;
  clock.advance(2_000);
  // Not 18 minutes.
  expect(written.at(-1)).toContain('200/1100 18 %  50/s  0:00:18 left');
});

test('a number of messages that is estimated changes slowly, and is none at first', () => {
  const { clock, seen, written, learn } = progressOf('bar', 1_000);
  learn(50);
  clock.advance(1_800);
  expect(written.at(-1)).toContain('50/?  28/s  ? left');
  clock.advance(200);
  const totals = [1_000];
  for (const estimate of [3_000, 3_000, 200, 200, 200, 200, 200, 200, 10]) {
    seen.total = estimate;
    clock.advance(200);
    totals.push(Number(/50\/(\d+)/.exec(written.at(-1) ?? '')?.[1]));
  }
  expect(totals.slice(0, 3)).toEqual([1_000, 1_250, 1_563]);
  for (const [index, total] of totals.slice(1).entries()) {
    expect(Math.abs(total / (totals[index] ?? 0) - 1)).toBeLessThan(1 / 3);
  }
  clock.advance(4_000);
  expect(written.at(-1)).toContain('50/50 100 %');
});

test('nothing is written when nothing is wanted, but for lines that must be', () => {
  const { clock, written, progress } = progressOf('none', 10);
  clock.advance(60_000);
  progress.say('must be');
  expect(written).toEqual(['must be\n']);
});
