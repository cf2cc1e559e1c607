import { mkdirSync, symlinkSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { removeOldDays } from '../../src/spool/retention.ts';
import { TestSpool, put } from '../support/test-spool.ts';

const NOW = Date.UTC(2026, 2, 31, 12);
const DAY_MS = 86_400_000;

let spool: TestSpool;
let asked: number;

beforeEach(() => {
  spool = new TestSpool();
  asked = 0;
  for (const day of ['2025-03-31', '2026-02-28', '2026-03-01', '2026-03-02', '2026-03-31']) {
    addDay('spam', day);
  }
  addDay('ham', '2026-01-01');
});

function addDay(verdict: 'spam' | 'ham', day: string): void {
  mkdirSync(spool.statePath(`archive/${verdict}/${day}`));
  put(spool.statePath(`archive/${verdict}/${day}/a.eml`), 'body');
}

function retain(
  days: number,
  witness: number | undefined = NOW,
  now: number = NOW,
): Promise<string[]> {
  return removeOldDays({
    archive: spool.stateDir.archive,
    days,
    wall: () => now,
    witnessTime: () => {
      asked += 1;
      return Promise.resolve(witness);
    },
  });
}

describe('nothing is removed', () => {
  test('when nobody can say what time it is', async () => {
    const archive = spool.stateDir.archive;
    const nobody = (): Promise<undefined> => Promise.resolve(undefined);
    const options = { archive, days: 1, wall: () => NOW, witnessTime: nobody };
    expect(await removeOldDays(options)).toEqual([]);
    expect(spool.names('archive/spam')).toHaveLength(5);
  });

  test.each([DAY_MS + 1, -DAY_MS - 1, 365 * DAY_MS])(
    'when the clocks differ by more than a day: %d ms',
    async (skew) => {
      expect(await retain(1, NOW + skew)).toEqual([]);
      expect(spool.names('archive/spam')).toHaveLength(5);
    },
  );

  test('when our own clock is years ahead', async () => {
    expect(await retain(30, NOW, NOW + 3_650 * DAY_MS)).toEqual([]);
  });

  test('when 0 days are to be kept: that keeps all', async () => {
    expect(await retain(0)).toEqual([]);
    expect(asked).toBe(0);
  });

  test('when nothing is old, and then nobody is asked', async () => {
    expect(await retain(3_650)).toEqual([]);
    expect(asked).toBe(0);
  });
});

describe('days that are older than is kept', () => {
  test('are removed, of both verdicts, with all that is in them', async () => {
    expect(await retain(30)).toEqual(
      expect.arrayContaining(['spam/2025-03-31', 'spam/2026-02-28', 'ham/2026-01-01']),
    );
    expect(spool.names('archive/spam')).toEqual(['2026-03-01', '2026-03-02', '2026-03-31']);
    expect(spool.names('archive/ham')).toEqual([]);
    expect(asked).toBe(1);
  });

  test.each([DAY_MS, -DAY_MS])('are removed while the clocks differ by a day: %d', async (skew) => {
    expect(await retain(30, NOW + skew)).toHaveLength(3);
  });

  test('are removed, and nothing that is no day of the archive', async () => {
    for (const name of ['2020-01-01.bak', '2020-1-1', 'notes', '.2020-01-01', '02020-01-01']) {
      mkdirSync(spool.statePath(`archive/spam/${name}`));
    }
    await retain(30);
    expect(spool.names('archive/spam')).toHaveLength(3 + 5);
  });

  test('as a symlink lose the link, not what it leads to', async () => {
    mkdirSync(`${spool.lib}/precious`);
    put(`${spool.lib}/precious/a.eml`, 'body');
    symlinkSync(`${spool.lib}/precious`, spool.statePath('archive/spam/2020-01-01'));
    await retain(30);
    expect(spool.names('archive/spam')).not.toContain('2020-01-01');
    expect(spool.names('../precious')).toEqual(['a.eml']);
  });
});
