import { appendFileSync, chmodSync, lstatSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { Gate, STUCK_AFTER_MS } from '../../src/spool/gate.ts';
import type { GateAnswer } from '../../src/spool/gate.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { put, replace, setMtime, touchCtime } from '../support/test-spool.ts';

const SETTLE_MS = 2_000;
const MARKED_MS = 200;
const UNMARKED = 0o644;
/** Seconds since the epoch. */
const MTIME = 1_600_000_000;

let clock: ManualClock;
let gate: Gate;
let folder: string;
let path: string;

beforeEach(() => {
  clock = new ManualClock();
  gate = makeGate();
  folder = temporaryFolder();
  path = `${folder}/a.eml`;
});

function makeGate(room = 100): Gate {
  return new Gate({ settleMs: SETTLE_MS, room, now: () => clock.monotonic() });
}

/** Shows the gate a file as it is now. */
function look(file = path, readable = true): GateAnswer {
  return gate.look(file, lstatSync(file, { bigint: true }), () => readable);
}

/** Shows it the file until it passes; returns how long that took. */
function settle(file = path): number {
  const start = clock.monotonic();
  for (let answer = look(file); answer.kind !== 'passed'; answer = look(file)) {
    if (answer.kind !== 'wait') throw new Error(`it is ${answer.kind}`);
    clock.advance(answer.ms);
  }
  return clock.monotonic() - start;
}

describe('a file', () => {
  test('that cannot be read does not pass, however long it lies still', () => {
    put(path, 'body');
    look();
    clock.advance(SETTLE_MS);
    expect(look(path, false)).toEqual({ kind: 'stalled', reason: 'unreadable', stuck: false });
    clock.advance(SETTLE_MS);
    expect(look(path, false)).toMatchObject({ kind: 'stalled' });
  });

  test.each([
    ['with the mark a tenth of the time', 0o660, MARKED_MS],
    ['without it the whole', UNMARKED, SETTLE_MS],
  ])('settles %s', (_what, mode, ms) => {
    put(path, 'body', mode);
    expect(look()).toEqual({ kind: 'wait', ms });
    clock.advance(ms - 1);
    expect(look()).toEqual({ kind: 'wait', ms: 1 });
    clock.advance(1);
    expect(look()).toEqual({ kind: 'passed' });
  });
});

describe('what counts as a change', () => {
  // prettier-ignore
  const changes: [what: string, change: () => void][] = [
    ['its size', () => appendFileSync(path, 'more')],
    ['its mtime', () => setMtime(path, 1_700_000_000)],
    ['its ctime alone', () => touchCtime(path)],
    ['its mode', () => chmodSync(path, 0o640)],
    ['its inode, of a file just like it', () => setMtime(replace(path, 'body', UNMARKED), MTIME)],
  ];

  test.each(changes)('%s: the file settles anew', (_what, change) => {
    setMtime(put(path, 'body', UNMARKED), MTIME);
    look();
    clock.advance(SETTLE_MS - 1);
    change();
    expect(look()).toEqual({ kind: 'wait', ms: SETTLE_MS });
  });
});

describe('a file that was seen changing while it bore the mark', () => {
  test('loses the short time: a rewrite in place keeps the mode', () => {
    put(path, 'the first message');
    look();
    writeFileSync(path, 'the sec');
    look();
    clock.advance(MARKED_MS);
    expect(look()).toEqual({ kind: 'wait', ms: SETTLE_MS - MARKED_MS });
    appendFileSync(path, 'ond');
    expect(settle()).toBe(SETTLE_MS);
  });

  test('loses it too when it was seen truncated to nothing', () => {
    put(path, 'the first message');
    look();
    truncateSync(path);
    expect(look()).toMatchObject({ kind: 'stalled', reason: 'empty' });
    writeFileSync(path, 'the second');
    expect(settle()).toBe(SETTLE_MS);
  });

  test('is another file once it has a new inode: that one is trusted', () => {
    put(path, 'the first message');
    look();
    writeFileSync(path, 'the second');
    look();
    replace(path, 'the third');
    expect(settle()).toBe(MARKED_MS);
  });
});

describe('a full gate', () => {
  beforeEach(() => {
    gate = makeGate(1);
    put(path, 'body');
    put(`${folder}/b.eml`, 'body');
  });

  test('does not remember what comes, and still lets pass what is in it', () => {
    look();
    expect(gate.isFull).toBe(true);
    expect(look(`${folder}/b.eml`)).toEqual({ kind: 'full' });
    clock.advance(MARKED_MS);
    expect(look(`${folder}/b.eml`)).toEqual({ kind: 'full' });
    expect(look()).toMatchObject({ kind: 'passed' });
  });

  test('remembers a twin all the same, whose sibling waits for it', () => {
    look();
    const stats = lstatSync(`${folder}/b.eml`, { bigint: true });
    expect(gate.look('twin', stats, () => true, true)).toMatchObject({ kind: 'wait' });
    clock.advance(MARKED_MS);
    expect(gate.look('twin', stats, () => true, true)).toMatchObject({ kind: 'passed' });
  });

  test('makes room for others where no file leaves it for twice the settle time', () => {
    clock.advance(5 * SETTLE_MS);
    look();
    clock.advance(2 * SETTLE_MS - 1);
    appendFileSync(path, 'more');
    look();
    expect(gate.takesMore()).toBe(false);
    clock.advance(1);
    expect(gate.takesMore()).toBe(true);
    expect(look(`${folder}/b.eml`)).toMatchObject({ kind: 'wait' });
    clock.advance(SETTLE_MS);
    gate.forget(`${folder}/b.eml`);
    look();
    clock.advance(SETTLE_MS);
    expect(gate.takesMore()).toBe(false);
  });

  test('is not filled by empty files', () => {
    for (const name of ['1', '2', '3']) look(put(`${folder}/${name}`, ''));
    expect(gate.isFull).toBe(false);
    expect(settle()).toBe(MARKED_MS);
  });
});

describe('after ten minutes', () => {
  test('an empty file is stuck', () => {
    put(path, '');
    look();
    clock.advance(STUCK_AFTER_MS - 1);
    expect(look()).toMatchObject({ stuck: false });
    expect(gate.isStuck(path)).toBe(false);
    clock.advance(1);
    expect(look()).toEqual({ kind: 'stalled', reason: 'empty', stuck: true });
    expect(gate.isStuck(path)).toBe(true);
  });

  test('an unreadable file is stuck, counted from when that was found', () => {
    put(path, 'body');
    look();
    clock.advance(MARKED_MS);
    look(path, false);
    clock.advance(STUCK_AFTER_MS - 1);
    expect(look(path, false)).toMatchObject({ stuck: false });
    clock.advance(1);
    expect(look(path, false)).toEqual({ kind: 'stalled', reason: 'unreadable', stuck: true });
  });

  test('a stuck file that two sweeps did not show is forgotten', () => {
    put(path, '');
    look();
    gate.endSweep();
    clock.advance(STUCK_AFTER_MS);
    gate.endSweep();
    expect(gate.isStuck(path)).toBe(false);
    expect(look()).toMatchObject({ stuck: false });
  });
});
