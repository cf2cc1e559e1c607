import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import type { FinalResult } from '../../src/delivery/result.ts';
import type { Filter } from '../../src/filter.ts';
import { History, daysUntil } from '../../src/status/history.ts';
import { failOnce, failSteps, resolved } from '../support/fs-steps.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock, START } from '../support/manual-clock.ts';
import { TestSpool } from '../support/test-spool.ts';

const DAY_MS = 86_400_000;

let clock: ManualClock;
let recorder: LogRecorder;
let spool: TestSpool;
let history: History;

beforeEach(() => {
  clock = new ManualClock();
  recorder = new LogRecorder();
  spool = new TestSpool();
  history = begun();
});

/** That of a process that has just started. */
function begun(): History {
  return new History({ stateDir: spool.stateDir, clock, log: recorder.log });
}

async function restarted(): Promise<History> {
  const next = begun();
  await next.save();
  return next;
}

interface What {
  readonly verdict?: string;
  readonly key?: string;
  readonly result?: FinalResult;
  readonly filter?: Filter;
  readonly of?: History;
}

function ended(what: What = {}): void {
  const { verdict = 'spam', key = 'a.eml', result = 'learned', filter = 'rspamd' } = what;
  const provenMs = result === 'learned' ? 12 : undefined;
  (what.of ?? history).ended(filter, { verdict, key, result, provenMs });
}

/** `12 spam 3/0/1`, a line for each day and class. */
function told({ report }: History): string[] {
  return report.days.map(
    ({ day, trainer, verdict, learned, refused, turned }) =>
      `${day.slice(-2)} ${trainer} ${verdict} ${learned}/${refused}/${turned}`,
  );
}

function place(name = 'history.json'): string {
  return spool.statePath(name);
}

describe('the history', () => {
  test('counts by day, filter and class what was learned, refused or turned, and nothing else', () => {
    ended();
    ended({ key: 'b.eml', verdict: 'ham' });
    ended({ key: 'b.eml', verdict: 'ham', filter: 'spamassassin' });
    for (const result of ['refused', 'superseded', 'duplicate', 'withdrawn'] as const) {
      ended({ key: result, result });
    }
    clock.advance(DAY_MS);
    ended({ key: 'c.eml', verdict: 'newsletter' });
    expect(told(history)).toEqual([
      '14 rspamd spam 1/1/1',
      '14 rspamd ham 1/0/0',
      '14 spamassassin ham 1/0/0',
      '15 rspamd newsletter 1/0/0',
    ]);
  });

  test('a verdict turns where the same message was learned in another class, at the same filter', () => {
    ended({ verdict: 'ham' });
    ended({ verdict: 'ham', filter: 'spamassassin' });
    ended({ verdict: 'ham', result: 'duplicate' });
    ended({ verdict: 'spam' });
    ended({ verdict: 'spam', key: 'b.eml' });
    ended({ verdict: 'ham', result: 'duplicate' });
    expect(told(history)).toEqual([
      '14 rspamd ham 1/0/1',
      '14 spamassassin ham 1/0/0',
      '14 rspamd spam 2/0/1',
    ]);
  });

  test('remembers ten thousand messages for that, the latest', () => {
    ended({ key: 'old' });
    ended({ key: 'older than most' });
    for (let index = 0; index < 9_999; index += 1) ended({ key: `${index}` });
    ended({ key: 'older than most', verdict: 'ham' });
    ended({ key: 'old', verdict: 'ham' });
    expect(told(history)).toEqual(['14 rspamd spam 10001/0/0', '14 rspamd ham 2/0/1']);
  });

  test('says when a message last came in and was last proven', () => {
    expect(history.report).toMatchObject({ lastInAt: null, lastProofAt: null, days: [] });
    history.arrived();
    clock.advance(1_000);
    ended();
    clock.advance(1_000);
    ended({ result: 'refused' });
    expect(history.report).toMatchObject({
      lastInAt: new Date(START).toISOString(),
      lastProofAt: new Date(START + 1_000).toISOString(),
    });
  });

  test('is not mixed up with the reason of a message that is called history', async () => {
    const reason = { name: 'history', verdict: 'spam', reason: '413', attempts: 0 };
    spool.enqueue('spam', 'history');
    ended();
    await Promise.all([
      history.save(),
      spool.quarantine.put(spool.entry('spam', 'history'), spool.queue, {
        ...reason,
        quarantinedAt: new Date(START).toISOString(),
      }),
    ]);
    expect(JSON.parse(spool.read('quarantine/spam/history.json'))).toMatchObject(reason);
    expect(told(await restarted())).toEqual(['14 rspamd spam 1/0/0']);
  });

  test('has the days of its own time zone', () => {
    const at = new Date(START);
    const midnight = new Date(at.getFullYear(), at.getMonth(), at.getDate() + 1).getTime();
    clock.advance(midnight - START - 1);
    ended();
    expect(history.report.today).toBe('2026-03-14');
    clock.advance(1);
    ended();
    expect(history.report.today).toBe('2026-03-15');
    expect(told(history)).toEqual(['14 rspamd spam 1/0/0', '15 rspamd spam 1/0/0']);
    expect(history.report.timeZone).toBe(Intl.DateTimeFormat().resolvedOptions().timeZone);
  });

  test('adds to the earlier day where the clock goes back, and shows no day that is yet to come', () => {
    ended();
    clock.wall = () => START + 3 * DAY_MS;
    ended({ verdict: 'ham', key: 'b.eml' });
    clock.wall = () => START;
    ended();
    expect(told(history)).toEqual(['14 rspamd spam 2/0/0']);
    clock.wall = () => START + 3 * DAY_MS;
    expect(told(history)).toEqual(['14 rspamd spam 2/0/0', '17 rspamd ham 1/0/0']);
  });

  test('shows 90 days', () => {
    ended();
    clock.advance(89 * DAY_MS);
    expect(told(history)).toHaveLength(1);
    clock.advance(DAY_MS);
    expect(told(history)).toEqual([]);
  });
});

test('days in a row have no gap where the clock is put forward or back', () => {
  expect(daysUntil('2026-03-30', 3)).toEqual(['2026-03-28', '2026-03-29', '2026-03-30']);
  expect(daysUntil('2024-03-01', 2)).toEqual(['2024-02-29', '2024-03-01']);
  expect(new Set(daysUntil('2026-11-30', 400)).size).toBe(400);
});

describe('its file', () => {
  test('survives a restart; what came before it was read is added', async () => {
    history.arrived();
    ended();
    await history.save();
    const { report } = history;
    const next = begun();
    ended({ of: next });
    ended({ of: next, verdict: 'ham', key: 'b.eml' });
    await next.save();
    expect(told(next)).toEqual(['14 rspamd spam 2/0/0', '14 rspamd ham 1/0/0']);
    expect(next.report.lastInAt).toBe(report.lastInAt);
    expect(told(await restarted())).toEqual(told(next));
  });

  test('is the same for a later version that keeps more in it', async () => {
    ended();
    await history.save();
    const text = readFileSync(place(), 'utf8');
    writeFileSync(place(), text.replace('{', '{"more":{"x":1},'));
    expect(told(await restarted())).toEqual(['14 rspamd spam 1/0/0']);
    expect(recorder.lines).toEqual([]);
  });

  test('is written only when there is something new, and readable by its owner alone', async () => {
    await history.save();
    expect(readdirSync(spool.statePath(''))).not.toContain('history.json');
    ended();
    await history.save();
    const { ino, mode } = statSync(place());
    expect(mode & 0o777).toBe(0o600);
    await history.save();
    expect(statSync(place()).ino).toBe(ino);
  });

  test('takes less than 100 KB for 400 days of large numbers, and older days fall off', async () => {
    const days = daysUntil('2026-03-13', 399).map((day) => {
      const counts = [12_345_678, 1_234_567, 123_456];
      const entries = ['rspamd spam', 'rspamd ham', 'spamassassin spam', 'spamassassin ham'];
      return [day, Object.fromEntries(entries.map((each) => [each, counts]))] as const;
    });
    const content = { version: 1, lastInAt: null, lastProofAt: null };
    writeFileSync(place(), JSON.stringify({ ...content, days: Object.fromEntries(days) }));
    const kept = (): string[] => {
      const { days } = JSON.parse(readFileSync(place(), 'utf8')) as { days: object };
      return Object.keys(days).sort();
    };
    ended();
    await history.save();
    expect(kept()).toEqual(daysUntil('2026-03-14', 400));
    expect(statSync(place()).size).toBeLessThan(100_000);
    clock.advance(DAY_MS);
    ended();
    await history.save();
    expect(kept()).toEqual(daysUntil('2026-03-15', 400));
  });

  test('stays below 100 KB whatever is taught: then fewer days are kept, the latest', async () => {
    for (let day = 0; day < 200; day += 1) {
      for (let index = 0; index < 40; index += 1) {
        ended({ verdict: `a-class-with-a-long-name-${index}` });
      }
      clock.advance(DAY_MS);
    }
    ended();
    await history.save();
    expect(statSync(place()).size).toBeLessThan(100_000);
    const last = (await restarted()).report;
    expect(last.days.at(-1)).toMatchObject({ day: last.today, learned: 1 });
    expect(new Set(last.days.map(({ day }) => day)).size).toBeGreaterThan(30);
  });

  test.each([
    '',
    '\0\0\0\0',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"rspamd sp',
    'null',
    '{"version":2,"lastInAt":null,"lastProofAt":null,"days":{}}',
    '{"version":1,"lastInAt":"soon","lastProofAt":null,"days":{}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"<b>":{}}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"rspamd <b>":[1,1,1]}}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"dspam spam":[1,1,1]}}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"rspamd spam":[1,1]}}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"rspamd spam":[1,1,-1]}}}',
    '{"version":1,"lastInAt":null,"lastProofAt":null,"days":{"2026-03-14":{"rspamd spam":"111"}}}',
  ])('is set aside where it is broken, and that is said: %j', async (text) => {
    writeFileSync(place(), text);
    ended();
    await history.save();
    expect(readFileSync(place('history.broken.json'), 'utf8')).toBe(text);
    expect(recorder.lines).toMatchObject([
      {
        severity: 'warning',
        event: 'history.broken',
        fields: { path: place('history.broken.json') },
      },
    ]);
    expect(told(await restarted())).toEqual(['14 rspamd spam 1/0/0']);
    expect(recorder.lines).toHaveLength(1);
  });

  test('is whole, the old one or the new one, wherever the process is killed', async () => {
    ended();
    await history.save();
    const old = readFileSync(place(), 'utf8');
    const places: string[] = [];
    for (let step = 0; ; step += 1) {
      writeFileSync(place(), old);
      const writer = begun();
      ended({ of: writer });
      let left = step;
      const end = failSteps((each) => {
        if (!each.path.endsWith('history.json')) return undefined;
        left -= 1;
        if (left === -1) places.push(`${each.when} ${each.call}`);
        return left < 0 ? 'EIO' : undefined; // nothing more happens
      });
      const isKilled = await writer.save().then(
        () => left < 0,
        () => true,
      );
      end();
      expect(['14 rspamd spam 1/0/0', '14 rspamd spam 2/0/0']).toContain(
        told(await restarted())[0],
      );
      if (!isKilled) break;
    }
    expect(places).toContain('before FileHandle.sync');
    expect(places).toContain('before renameSync');
    expect(places.length).toBeGreaterThan(8);
    expect(recorder.lines).toEqual([]);
  });

  test.each(['FileHandle.writeFile', 'FileHandle.sync', 'renameSync'])(
    'stays as it was on a full disk, at %s, and is written later',
    async (call) => {
      ended();
      await history.save();
      ended({ key: 'b.eml' });
      failOnce('ENOSPC', (step) => step.call === call && resolved(step).includes('history.json'));
      await expect(history.save()).rejects.toMatchObject({ code: 'ENOSPC' });
      expect(told(await restarted())).toEqual(['14 rspamd spam 1/0/0']);
      await history.save();
      expect(told(await restarted())).toEqual(['14 rspamd spam 2/0/0']);
    },
  );

  test('that can’t be read is never written over', async () => {
    ended();
    await history.save();
    const next = begun();
    ended({ of: next });
    spool.stateDir.root.close();
    await expect(next.save()).rejects.toThrow('was closed');
    expect(JSON.parse(readFileSync(place(), 'utf8'))).toMatchObject({
      days: { '2026-03-14': { 'rspamd spam': [1, 0, 0] } },
    });
  });
});
