import {
  appendFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import type { QueueEntry } from '../../src/spool/message.ts';
import type { Verdict } from '../../src/verdict.ts';
import { Quarantine } from '../../src/spool/quarantine.ts';
import type { QuarantineReason } from '../../src/spool/quarantine.ts';
import type { CheckResult } from '../../src/spool/queue.ts';
import { TestSpool, put } from '../support/test-spool.ts';

let spool: TestSpool;

beforeEach(() => {
  spool = new TestSpool();
});

function message(verdict: Verdict, key = 'a.eml', body = `${verdict} ${key}`): QueueEntry {
  spool.enqueue(verdict, key, body);
  return spool.entry(verdict, key);
}

function reasonFor({ key, verdict }: QueueEntry): QuarantineReason {
  return {
    name: key,
    verdict,
    reason: '500 no',
    attempts: 10,
    messageId: 'one@example.org',
    quarantinedAt: '2026-03-14T12:00:00.000Z',
  };
}

function putAside(entry: QueueEntry): Promise<CheckResult> {
  return spool.quarantine.put(entry, spool.queue, reasonFor(entry));
}

describe('putting a message into quarantine', () => {
  test('that has changed leaves it in the queue, and no reason anywhere', async () => {
    const entry = message('spam');
    appendFileSync(spool.statePath('queue/spam/a.eml'), 'more');
    expect(await putAside(entry)).toMatchObject({ kind: 'changed' });
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.names('quarantine/spam')).toEqual([]);
    expect(spool.names('tmp')).toEqual([]);
  });

  test('writes the reason first: where that fails the message stays in the queue', async () => {
    const entry = message('spam');
    mkdirSync(spool.statePath('tmp/a.eml.json'));
    await expect(putAside(entry)).rejects.toThrow();
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.names('quarantine/spam')).toEqual([]);
  });

  test('does not follow a symlink that lies where the reason is written', async () => {
    const entry = message('spam');
    const target = put(`${spool.lib}/target`, 'precious');
    symlinkSync(target, spool.statePath('tmp/a.eml.json'));
    await expect(putAside(entry)).rejects.toThrow();
    expect(readFileSync(target, 'utf8')).toBe('precious');
  });

  test('moves it there, with its reason in words and in JSON', async () => {
    const entry = message('ham');
    expect(await putAside(entry)).toBeUndefined();
    expect(spool.queued).toEqual([]);
    expect(spool.read('quarantine/ham/a.eml')).toBe('ham a.eml');
    expect(JSON.parse(spool.read('quarantine/ham/a.eml.json'))).toEqual(reasonFor(entry));
    expect(lstatSync(spool.statePath('quarantine/ham/a.eml.json')).mode & 0o777).toBe(0o600);
    expect(spool.names('tmp')).toEqual([]);
  });

  test('that is a link of what lies there already leaves the queue all the same', async () => {
    message('spam');
    linkSync(spool.statePath('queue/spam/a.eml'), spool.statePath('quarantine/spam/a.eml'));
    expect(await putAside(spool.entry('spam', 'a.eml'))).toBeUndefined();
    expect(spool.queued).toEqual([]);
    expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  });
});

describe('removing a key from quarantine', () => {
  test('removes message and reason of both verdicts', async () => {
    await putAside(message('spam'));
    await putAside(message('ham'));
    await putAside(message('spam', 'b.eml'));
    spool.quarantine.removeKey('nothing');
    spool.quarantine.removeKey('a.eml');
    expect(spool.names('quarantine/spam')).toEqual(['b.eml', 'b.eml.json']);
    expect(spool.names('quarantine/ham')).toEqual([]);
  });

  test('removes a reason whose message an earlier removal took before it was killed', async () => {
    await putAside(message('spam'));
    rmSync(spool.statePath('quarantine/spam/a.eml'));
    const { quarantine, temporary } = spool.stateDir;
    new Quarantine(quarantine, temporary).removeKey('a.eml');
    expect(spool.names('quarantine/spam')).toEqual([]);
  });
});
