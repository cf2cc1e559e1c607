import { describe, expect, test } from 'vitest';
import { FOLDERS, RunStats } from '../../src/relearn/stats.ts';
import { folderLines, inWords, summarize } from '../../src/relearn/summary.ts';
import type { Summary } from '../../src/relearn/summary.ts';

const BODY = Buffer.alloc(0);
const REASON = 'a junk folder, which holds no ham';

function lie(stats: RunStats, folder: string, count: number): void {
  for (let index = 0; index < count; index += 1) {
    stats.found({ kind: 'message', place: `${folder}/${index}`, body: BODY, folder }, 'ham');
  }
}

function passOver(stats: RunStats, folder: string, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const place = `${folder}/${index}`;
    stats.found({ kind: 'passed', place, folder, reason: REASON, isByFolder: true }, 'ham');
  }
}

function summaryOf(stats: RunStats): Summary {
  return summarize({
    stats,
    ending: 'complete',
    left: [],
    gain: {
      before: undefined,
      after: undefined,
      gained: undefined,
      missing: 0,
      lack: 0,
      confirmed: true,
    },
    learningMs: 1_000,
    confirmingMs: 0,
    resume: '',
  });
}

function fill(act: (stats: RunStats) => void): { summary: Summary; text: string } {
  const stats = new RunStats(() => undefined);
  act(stats);
  const summary = summaryOf(stats);
  return { summary, text: inWords(summary) };
}

describe('every folder is listed with the number of its messages', () => {
  test('and those that are passed over with the reason', () => {
    const { summary, text } = fill((stats) => {
      lie(stats, '/m', 12);
      lie(stats, '/m/.Archive', 3);
      passOver(stats, '/m/.Junk', 7);
      stats.found({ kind: 'done', place: '/m/x', folder: '/m' }, 'ham');
    });
    expect(summary.passedOver).toEqual({ spam: 0, ham: 7 });
    expect(summary.folders).toEqual([
      { folder: '/m', verdict: 'ham', messages: 13, passedOver: null },
      { folder: '/m/.Archive', verdict: 'ham', messages: 3, passedOver: null },
      { folder: '/m/.Junk', verdict: 'ham', messages: 7, passedOver: REASON },
    ]);
    expect(text).toMatch(/ham +13 {2}\/m\n/);
    expect(text).toMatch(/ham +7 {2}\/m\/\.Junk: a junk folder, which holds no ham\n/);
    expect(text).toMatch(/passed over +0 +7\n/);
  });

  test('once: one that is named besides is not passed over', () => {
    const { summary } = fill((stats) => {
      passOver(stats, '/m/.Junk', 7);
      const found = {
        kind: 'message',
        place: '/m/.Junk/1',
        body: BODY,
        folder: '/m/.Junk',
      } as const;
      stats.found(found, 'spam');
    });
    expect(summary.folders).toEqual([
      { folder: '/m/.Junk', verdict: 'spam', messages: 1, passedOver: null },
    ]);
  });

  test('of however many there are', () => {
    const stats = new RunStats(() => undefined);
    for (let index = 0; index < 2 * FOLDERS; index += 1) lie(stats, `/m/${index}`, 2);
    expect(stats.folders).toHaveLength(FOLDERS);
    expect(folderLines(stats.folders).at(-1)).toBe('  and 900 more with 1800 messages');
  });
});

test('deleted messages are counted by their reasons, and named', () => {
  const { summary, text } = fill((stats) => {
    for (let index = 0; index < 12; index += 1) {
      const reason = 'deleted (X-Mozilla-Status)';
      stats.found({ kind: 'passed', place: `/box#${index}`, reason, folder: '/box' }, 'spam');
    }
    passOver(stats, '/m/.Junk', 100);
  });
  expect(summary.reasons.passedOver).toEqual({ 'deleted (X-Mozilla-Status)': 12 });
  expect(summary.exitCode).toBe(0);
  expect(text).toContain('Passed over:\n  /box#0: deleted (X-Mozilla-Status)');
  expect(text).toContain('and 2 more');
});

test('what SpamAssassin had wrapped is counted and told', () => {
  const { summary, text } = fill((stats) => {
    const found = { kind: 'message', place: '/x', body: BODY, isUnwrapped: true } as const;
    stats.found(found, 'spam');
  });
  expect(summary.unwrapped).toEqual({ spam: 1, ham: 0 });
  expect(text).toContain('1 message had been wrapped by SpamAssassin');
});

describe('the headline', () => {
  const fail = (stats: RunStats): void => {
    stats.found({ kind: 'failed', place: '/x', reason: 'nothing of it is mail' }, 'spam');
  };

  test('never says "Done" of what failed', () => {
    const nothing = fill(fail);
    expect(nothing.text).toMatch(/^Nothing was learned/);
    expect(nothing.summary.exitCode).toBe(1);
    const some = fill((stats) => {
      fail(stats);
      stats.finished('/y', 'spam', { kind: 'learned', proven: true });
    });
    expect(some.text).toMatch(/^Ended with failures/);
    expect(fill(() => undefined).text).toMatch(/^Done/);
  });
});

test('what fails for the same reason is told at once only the first few times', () => {
  const told: string[] = [];
  const stats = new RunStats(({ place }) => told.push(place));
  for (let index = 0; index < 1_000; index += 1) {
    stats.found({ kind: 'failed', place: `/${index}`, reason: 'xz: xzcat FILE' }, 'spam');
  }
  stats.found({ kind: 'failed', place: '/y', reason: 'EIO' }, 'spam');
  expect(told).toHaveLength(11);
  expect(stats.counts.failed.spam).toBe(1_001);
});
