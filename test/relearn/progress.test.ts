import { expect, test } from 'vitest';
import { Progress } from '../../src/relearn/progress.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import { ManualClock } from '../support/manual-clock.ts';

function progressOf(kind: 'bar' | 'lines' | 'none', total: number | undefined) {
  const clock = new ManualClock();
  const stats = new RunStats(() => undefined);
  const written: string[] = [];
  const progress = new Progress({
    kind,
    stats,
    total: () => total,
    clock,
    write: (text) => written.push(text),
  });
  const learn = (count: number): void => {
    for (let i = 0; i < count; i += 1)
      stats.finished('m', 'spam', { kind: 'learned', proven: true });
  };
  progress.start();
  return { clock, stats, written, progress, learn };
}

test('without a terminal a line is written every ten seconds', () => {
  const { clock, written, learn, progress } = progressOf('lines', 1_000);
  clock.advance(9_900);
  expect(written).toEqual([]);
  learn(100);
  clock.advance(200);
  learn(50);
  clock.advance(10_000);
  expect(written).toHaveLength(2);
  expect(written[1]).toMatch(
    /^150\/1000 15 % {2}5\/s {2}2:50 left {2}learned 150 {2}known 0 {2}refused 0 {2}failed 0\n$/,
  );
  progress.stop();
  clock.advance(60_000);
  expect(written).toHaveLength(2);
});

test('on a terminal there is one line that is written over', () => {
  const { clock, written, learn, progress } = progressOf('bar', 200);
  learn(50);
  clock.advance(200);
  clock.advance(200);
  expect(written).toHaveLength(2);
  expect(written[1]).toMatch(/^..\[K\[#####-{15}\] 50\/200 25 %/s);
  expect(written.join('')).not.toContain('\n');
  progress.say('a line');
  expect(written.slice(2)).toEqual(['\r\u001b[K', 'a line\n']);
  clock.advance(200);
  progress.stop();
  expect(written.at(-1)).toBe('\r\u001b[K');
});

test('before it is counted how many there are, that is left open', () => {
  const { clock, written, learn } = progressOf('bar', undefined);
  learn(50);
  clock.advance(200);
  expect(written[0]).toContain('50/?');
  expect(written[0]).toContain('? left');
});

test('an estimate that was too low grows', () => {
  const { clock, written, learn } = progressOf('bar', 10);
  learn(50);
  clock.advance(200);
  expect(written[0]).toContain('50/50 100 %');
});

test('nothing is written when nothing is wanted, but for lines that must be', () => {
  const { clock, written, progress } = progressOf('none', 10);
  clock.advance(60_000);
  progress.say('must be');
  expect(written).toEqual(['must be\n']);
});
