import { appendFileSync, rmSync, truncateSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Fifo } from '../support/fifo.ts';
import { actOnce, isStep } from '../support/fs-steps.ts';
import { openFilesBelow } from '../support/open-files.ts';
import { TestSpool, put, replace, setMtime } from '../support/test-spool.ts';

describe('reading an entry', () => {
  test('that is a FIFO is refused without opening it', async () => {
    const spool = new TestSpool();
    const fifo = await Fifo.make(spool.statePath('queue/spam/a.eml'));
    for (let i = 0; i < 5; i += 1) {
      expect(await spool.queue.read(spool.entry('spam', 'a.eml'))).toEqual({
        kind: 'unfit',
        reason: 'not a regular file',
      });
    }
    expect(await fifo.wasOpened()).toBe(false);
  });

  const changes: [what: string, change: (path: string) => void][] = [
    ['was written to', (path) => appendFileSync(path, 'x')],
    ['was truncated', (path) => truncateSync(path)],
    ['was rewritten at the same length', (path) => setMtime(put(path, 'the ydob'), 2_000)],
    ['is another file', (path) => setMtime(replace(path, 'the body'), 1_000)],
  ]; // prettier-ignore

  test.each(changes)('that %s before is changed, and says how', async (_what, change) => {
    const spool = new TestSpool();
    const path = spool.enqueue('spam', 'a.eml', 'the body');
    setMtime(path, 1_000);
    const entry = spool.entry('spam', 'a.eml');
    change(path);
    const now = spool.entry('spam', 'a.eml');
    expect(await spool.queue.read(entry)).toEqual({ kind: 'changed', entry: now });
    expect(spool.queue.check(entry)).toEqual({ kind: 'changed', entry: now });
  });

  test('gives all its bytes, however large it is', async () => {
    const spool = new TestSpool();
    const text = 'abcdefg'.repeat(100_000);
    spool.enqueue('spam', 'a.eml', text);
    const read = await spool.queue.read(spool.entry('spam', 'a.eml'));
    expect(read.kind === 'body' && read.body.equals(Buffer.from(text))).toBe(true);
  });

  test('leaves no descriptor open, whatever comes of it', async () => {
    const spool = new TestSpool({ maxBytes: 10 });
    const path = spool.enqueue('spam', 'a.eml', 'body');
    spool.enqueue('spam', 'large.eml', 'more than that');
    const entry = spool.entry('spam', 'a.eml');
    const before = openFilesBelow(spool.lib);
    expect(before).not.toEqual([]);
    await spool.queue.read(entry);
    await spool.queue.read(spool.entry('spam', 'large.eml'));
    appendFileSync(path, 'x');
    await spool.queue.read(entry);
    expect(openFilesBelow(spool.lib)).toEqual(before);
  });
});

test.each(['before', 'after'] as const)(
  'a file that is rewritten %s it is read is not given as a body',
  async (moment) => {
    const spool = new TestSpool();
    const path = spool.enqueue('spam', 'a.eml', 'x'.repeat(1_000));
    setMtime(path, 1_000);
    const entry = spool.entry('spam', 'a.eml');
    const reads = actOnce(isStep('readSync', '/a.eml', moment), () => put(path, 'y'.repeat(1_000)));
    expect(await spool.queue.read(entry)).toMatchObject({ kind: 'changed' });
    expect(reads()).toBe(1);
  },
);

describe('taking in', () => {
  test('into a queue that is gone is a fault: the file stays where it was', () => {
    const spool = new TestSpool();
    put(spool.statePath('tmp/a'), 'body');
    rmSync(spool.statePath('queue/spam'), { recursive: true });
    expect(() => spool.queue.adopt(spool.stateDir.temporary, 'a', 'spam', 'a')).toThrow(/ENOENT/);
    expect(spool.names('tmp')).toEqual(['a']);
  });
});

describe('a scan', () => {
  test('finds every entry of both verdicts once, marked or not', () => {
    const spool = new TestSpool();
    for (let i = 0; i < 1_500; i += 1) spool.enqueue('spam', `${i}.eml`);
    for (let i = 1_500; i < 2_000; i += 1) spool.enqueue('ham', `${i}.eml`, 'body', 0o644);
    const found = [...spool.queue.scan()].filter((each) => each !== undefined);
    expect(new Set(found.map(({ entry }) => `${entry.verdict}/${entry.key}`)).size).toBe(2_000);
    expect(found).toHaveLength(2_000);
    expect(found.every(({ entry, marked }) => marked === (entry.verdict === 'spam'))).toBe(true);
    expect(found[0]?.entry.stamp.ino).not.toBe(found[1]?.entry.stamp.ino);
  });
});
