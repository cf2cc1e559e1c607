import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PostCounts } from '../../src/spool/post-counts.ts';
import { TestSpool, put, replace } from '../support/test-spool.ts';

const KEY = 'a.eml';

function countsOf({ stateDir, queue }: TestSpool): PostCounts {
  return new PostCounts(stateDir.posts, stateDir.temporary, queue);
}

function makeSpool(): TestSpool {
  const spool = new TestSpool();
  put(spool.statePath(`queue/spam/${KEY}`), 'mail');
  return spool;
}

describe('how often a message was posted', () => {
  test('is known in the next process, and forgotten with the message', () => {
    const spool = makeSpool();
    countsOf(spool).record(spool.entry('spam', KEY), 5);
    const counts = countsOf(spool);
    expect(counts.of(spool.entry('spam', KEY))).toBe(5);
    counts.forget(spool.entry('spam', KEY));
    expect(counts.of(spool.entry('spam', KEY))).toBe(0);
    expect(existsSync(spool.statePath(`posts/spam/${KEY}`))).toBe(false);
  });

  test('counts for the very file: a newer one of the same name begins anew, now and later', () => {
    const spool = makeSpool();
    const counts = countsOf(spool);
    counts.record(spool.entry('spam', KEY), 8);
    replace(spool.statePath(`queue/spam/${KEY}`), 'newer mail');
    expect(counts.of(spool.entry('spam', KEY))).toBe(0);
    expect(countsOf(spool).of(spool.entry('spam', KEY))).toBe(0);
    expect(existsSync(spool.statePath(`posts/spam/${KEY}`))).toBe(false);
  });

  test.each([
    ['was cut off', (text: string) => text.slice(0, -3)],
    ['is empty', () => ''],
    ['is something else', () => 'eight\n'],
  ])('begins anew where the file that %s', (_what, spoil) => {
    const spool = makeSpool();
    countsOf(spool).record(spool.entry('spam', KEY), 8);
    const path = spool.statePath(`posts/spam/${KEY}`);
    writeFileSync(path, spoil(readFileSync(path, 'utf8')));
    expect(countsOf(spool).of(spool.entry('spam', KEY))).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test('leaves nothing behind of a message that is no longer queued', () => {
    const spool = makeSpool();
    const entry = spool.entry('spam', KEY);
    countsOf(spool).record(entry, 3);
    spool.queue.removeKey(KEY);
    countsOf(spool);
    expect(existsSync(spool.statePath(`posts/spam/${KEY}`))).toBe(false);
  });
});
