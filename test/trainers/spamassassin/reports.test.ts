import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config.ts';
import { createTrainers } from '../../../src/trainers/create.ts';
import { Reports } from '../../../src/trainers/spamassassin/reports.ts';
import type { ReportResult } from '../../../src/trainers/spamassassin/reports.ts';
import { until } from '../../support/until.ts';
import {
  NEVER,
  PATIENCE_MS,
  TaughtInMemory,
  addressAt,
  example,
  prove,
  trainerAt,
} from './connect.ts';
import { ScriptedSpamd } from './scripted-spamd.ts';
import type { Act, TellRequest } from './scripted-spamd.ts';

const SPAM = 'To: a\nDate: b\n\nspam\n';
const TURNED = 'To: a\nDate: b\n\nspam, with another boundary\n';
const TAKEN: Act = { says: 'SPAMD/1.1 0 EX_OK\r\nDidSet: remote\r\n\r\n\r\n' };
const TAKEN_BACK: Act = { says: 'SPAMD/1.1 0 EX_OK\r\nDidRemove: remote\r\n\r\n\r\n' };

let results: ReportResult[];
let stop: AbortController;
let spamd: ScriptedSpamd;
let play: (request: TellRequest) => Act | undefined;

beforeEach(async () => {
  results = [];
  stop = new AbortController();
  play = ({ head }) => (head.includes('Set: remote') ? TAKEN : TAKEN_BACK);
  spamd = await ScriptedSpamd.start((request) => (isReport(request) ? play(request) : undefined));
});

afterEach(() => stop.abort());

function isReport({ head }: TellRequest): boolean {
  return head.includes(': remote');
}

/** What was reported, in order. */
function reported(): string[] {
  return spamd.requests
    .filter(isReport)
    .map(({ head, body }) => `${/(Set|Remove): remote/.exec(head)?.[1] ?? ''} ${body.toString()}`);
}

function reports(): Reports {
  return new Reports({
    address: addressAt(spamd.port),
    user: 'amavis',
    onResult: (result) => results.push(result),
    stop: stop.signal,
  });
}

test('a spam is reported once, by a TELL of its own after its proof', async () => {
  const trainer = trainerAt(spamd, { reports: reports() });
  await prove(trainer, example('spam', SPAM));
  await until('it is reported', () => results.length === 1);
  expect(results).toEqual([{ key: 'a.eml', kind: 'spam', taken: true, reason: undefined }]);
  expect(reported()).toEqual([`Set ${SPAM}`]);
  const [first] = spamd.requests.filter(isReport);
  expect(first?.head).toContain('Message-class: spam');
  expect(first?.head).toContain('User: amavis');
  expect(first?.head).not.toContain('local');
});

test('what was known before, and ham, is not reported', async () => {
  const trainer = trainerAt(spamd, { reports: reports() });
  spamd.seen.set(SPAM, 'spam');
  expect(await prove(trainer, example('spam', SPAM))).toEqual(['duplicate']);
  expect(await prove(trainer, example('ham', TURNED, 'b.eml'))).toEqual(['learned', 'duplicate']);
  expect(reported()).toEqual([]);
});

test.each([
  ['other bytes', TURNED],
  ['the same bytes', SPAM],
])('a spam that is turned into ham with %s is taken back', async (_what, ham) => {
  const trainer = trainerAt(spamd, { reports: reports(), taught: new TaughtInMemory() });
  await prove(trainer, example('spam', SPAM));
  await prove(trainer, example('ham', ham));
  await until('both are told', () => results.length === 2);
  expect(reported()).toEqual([`Set ${SPAM}`, `Remove ${SPAM}`]);
  expect(results.map(({ kind, taken }) => [kind, taken])).toEqual([
    ['spam', true],
    ['revoke', true],
  ]);
});

test('a network that takes nothing, and a spamd that closes, are told and held against nobody', async () => {
  const trainer = trainerAt(spamd, { reports: reports() });
  play = () => ({ says: 'SPAMD/1.1 0 EX_OK\r\n\r\n\r\n' });
  expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
  await until('it is told', () => results.length === 1);
  play = () => ({ says: '' });
  expect(await prove(trainer, example('spam', TURNED))).toEqual(['learned', 'duplicate']);
  await until('that is told, too', () => results.length === 2);
  expect(results.map(({ reason }) => reason)).toEqual(['no network took it', 'no answer (CLOSED)']);
  expect(reported()).toHaveLength(2);
});

test('one is under way at a time, the learning goes on beside it, and too many are left out', async () => {
  const trainer = trainerAt(spamd, { reports: reports() });
  play = () => ({ says: '', then: 'stay' });
  for (let index = 0; index < 210; index += 1) {
    expect(await prove(trainer, example('spam', `To: a\n\n${index}\n`))).toEqual([
      'learned',
      'duplicate',
    ]);
  }
  expect(reported()).toHaveLength(1);
  expect(results).toHaveLength(9);
  expect(new Set(results.map(({ reason }) => reason))).toEqual(new Set(['too many reports wait']));
});

test.each([
  ['watch, where it is set', 'yes', true, 1],
  ['watch, where it is not set', '', true, 0],
  ['relearn', 'yes', false, 0],
])('of %s as many as that are reported', async (_what, SPAMD_REPORT, isDaemon, count) => {
  const config = loadConfig({
    LEARN_TRAINERS: 'spamassassin',
    SPAMD_URL: `spamd://127.0.0.1:${spamd.port}`,
    SPAMD_TIMEOUT_SECONDS: String(PATIENCE_MS / 1_000),
    SPAMD_REPORT,
  });
  const reporting = { stop: stop.signal, onResult: (result: ReportResult) => results.push(result) };
  const [trainer] = createTrainers(config, isDaemon ? { reporting } : {});
  const spam = example('spam', SPAM);
  expect((await trainer?.learn(spam, NEVER))?.kind).toBe('learned');
  expect((await trainer?.learn(spam, NEVER))?.kind).toBe('duplicate');
  if (count > 0) await until('it is told', () => results.length === count);
  // One that should not be would come beside these.
  else await prove(trainerAt(spamd), example('spam', TURNED));
  expect(reported()).toHaveLength(count);
});
