import { expect, test } from 'vitest';
import { Progress } from '../../src/relearn/progress.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import { ManualClock } from '../support/manual-clock.ts';

function progressOf(kind: 'bar' | 'lines' | 'none', total: number | undefined) {
  const clock = new ManualClock();
  const stats = new RunStats(() => undefined);
  const written: string[] = [];
  const write = (text: string): unknown => written.push(text);
  const progress = new Progress({ kind, stats, total: () => total, clock, write });
  const learn = (count: number): void => {
    for (let i = 0; i < count; i += 1)
      stats.finished('m', 'spam', { kind: 'learned', proven: true });
  };
  progress.start();
  return { clock, stats, written, progress, learn };
}

test('without a terminal a line is written every ten seconds', () => {
  const { clock, stats, written, learn, progress } = progressOf('lines', 1_100);
  for (let i = 0; i < 100; i += 1) stats.found({ kind: 'done', place: `${i}` }, 'spam');
  clock.advance(9_900);
  expect(written).toEqual([]);
  learn(100);
  clock.advance(10_100);
  expect(written).toHaveLength(2);
  expect(written[1]).toBe(
    '200/1100 18 %  5/s  0:03:00 left  learned 100  known 0  refused 0  failed 0\n',
  );
  progress.stop();
  clock.advance(60_000);
  expect(written).toHaveLength(2);
});

test('on a terminal there is one line that is written over', () => {
  const { clock, written, learn, progress } = progressOf('bar', 200);
  learn(50);
  clock.advance(400);
  expect(written).toHaveLength(2);
  expect(written[1]).toMatch(/^..\[K\[#####-{15}\] 50\/200 25 %/s);
  expect(written.join('')).not.toContain('\n');
  progress.say('a line');
  expect(written.slice(2)).toEqual(['\r\u001b[K', 'a line\n']);
  clock.advance(200);
  progress.stop();
  expect(written.at(-1)).toBe('\r\u001b[K');
});

test.each([
  ['that is not known yet is left open', undefined, '50/?'],
  ['that was estimated too low grows', 10, '50/50 100 %'],
])('a number of messages %s', (_what, total, shown) => {
  const { clock, written, learn } = progressOf('bar', total);
  learn(50);
  clock.advance(200);
  expect(written[0]).toContain(shown);
});

test('nothing is written when nothing is wanted, but for lines that must be', () => {
  const { clock, written, progress } = progressOf('none', 10);
  clock.advance(60_000);
  progress.say('must be');
  expect(written).toEqual(['must be\n']);
});
