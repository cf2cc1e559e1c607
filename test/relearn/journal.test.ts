import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { OperatorError } from '../../src/errors.ts';
import { Journal } from '../../src/relearn/journal.ts';
import type { JournalSources } from '../../src/relearn/journal.ts';
import { MOUNTS } from '../support/needs.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';

const SOURCES: JournalSources = { spam: ['/archive/spam'], ham: ['/archive/ham', '/häm\u2028'] };

let path: string;

beforeEach(() => {
  path = join(temporaryFolder(), 'journal');
});

async function journalWith(...places: readonly string[]): Promise<void> {
  const journal = await Journal.open(path, SOURCES);
  for (const place of places) journal.add('learned', 'spam', place);
  await journal.close();
}

/** How opening the journal is refused. */
async function refusal(sources = SOURCES): Promise<OperatorError> {
  try {
    await (await Journal.open(path, sources)).close();
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('it was opened');
}

describe('a journal', () => {
  test('has what was noted, when the same sources come again', async () => {
    await journalWith('/archive/spam/a.eml', '/archive/box#2');
    const journal = await Journal.open(path, { ...SOURCES });
    expect(journal.doneBefore).toBe(2);
    expect(journal.has('/archive/spam/a.eml')).toBe(true);
    expect(journal.has('/archive/box#2')).toBe(true);
    expect(journal.has('/archive/spam/b.eml')).toBe(false);
    await journal.close();
  });

  test('goes on behind what it had', async () => {
    await journalWith('/a');
    await journalWith('/b');
    expect(readFileSync(path, 'utf8').split('\n').slice(2)).toEqual([
      'learned spam /a',
      'learned spam /b',
      '',
    ]);
  });

  test('writes without being closed, within a moment', async () => {
    const journal = await Journal.open(path, SOURCES);
    journal.add('duplicate', 'ham', '/a');
    await expect.poll(() => readFileSync(path, 'utf8')).toContain('known ham /a\n');
    journal.add('refused', 'ham', '/b');
    await expect.poll(() => readFileSync(path, 'utf8')).toContain('refused ham /b\n');
    await journal.close();
  });

  test('loses no line, however many come at once', async () => {
    const places = Array.from({ length: 20_000 }, (_, index) => `/m${index}`);
    await journalWith(...places);
    const journal = await Journal.open(path, SOURCES);
    expect(journal.doneBefore).toBe(20_000);
    expect(places.every((place) => journal.has(place))).toBe(true);
    await journal.close();
  });

  test('of a version that numbered the messages of an mbox otherwise is refused', async () => {
    await journalWith('/a');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('journal 2', 'journal 1'));
    await expect(journalWith('/b')).rejects.toMatchObject({ code: 'journal.broken' });
    expect(readFileSync(path, 'utf8')).toContain('journal 1');
  });

  test('may be torn anywhere: the torn line is cut off, the others stay', async () => {
    await journalWith('/a', '/b', '/c');
    const whole = readFileSync(path);
    for (let length = whole.length - 1; length > 0; length -= 1) {
      writeFileSync(path, whole.subarray(0, length));
      const journal = await Journal.open(path, SOURCES);
      const lines = whole.toString('utf8', 0, length).split('\n').slice(2, -1);
      expect(journal.doneBefore).toBe(lines.length);
      journal.add('learned', 'spam', '/d');
      await journal.close();
      const again = await Journal.open(path, SOURCES);
      expect(again.doneBefore).toBe(lines.length + 1);
      expect(again.has('/d')).toBe(true);
      await again.close();
    }
  });

  test('may end in zeros, as after a power loss', async () => {
    await journalWith('/a');
    appendFileSync(path, Buffer.alloc(100));
    const journal = await Journal.open(path, SOURCES);
    expect(journal.doneBefore).toBe(1);
    await journal.close();
    expect(readFileSync(path, 'utf8').endsWith('learned spam /a\n')).toBe(true);
  });

  test('of other sources is refused, and told which', async () => {
    await journalWith('/a');
    const before = readFileSync(path);
    const error = await refusal({ spam: ['/other'], ham: [] });
    expect(error).toMatchObject({ code: 'journal.foreign', exitCode: 64 });
    expect(error.message).toContain('/archive/spam');
    expect(readFileSync(path)).toEqual(before);
  });

  test('of the same sources with the verdicts swapped is refused', async () => {
    await journalWith('/a');
    const error = await refusal({ spam: SOURCES.ham, ham: SOURCES.spam });
    expect(error.code).toBe('journal.foreign');
  });

  test.each([
    ['a message', 'From: a@b\n\nbody\n'],
    ['a text without a line end', 'hello'],
    ['binary data', '\u0000\u0001\u0002'],
  ])('that is %s is refused and left as it is', async (_what, content) => {
    writeFileSync(path, content);
    const error = await refusal();
    expect(error.code).toBe('journal.broken');
    expect(error.message).toContain(path);
    expect(readFileSync(path, 'utf8')).toBe(content);
  });

  test('with something else in its middle is refused, with the line', async () => {
    await journalWith('/a');
    appendFileSync(path, 'nonsense\nlearned spam /b\n');
    const error = await refusal();
    expect(error.code).toBe('journal.broken');
    expect(error.message).toContain('line 4');
  });

  test('that another run is writing is refused for the time being', async () => {
    const journal = await Journal.open(path, SOURCES);
    expect(await refusal()).toMatchObject({ code: 'journal.in-use', exitCode: 75 });
    await journal.close();
    await journalWith('/a');
  });

  test('that meets an error of this program doesn’t call the file unusable', async () => {
    const opened: unknown = Reflect.apply(Journal.open.bind(Journal), undefined, [path]);
    await expect(opened).rejects.toBeInstanceOf(TypeError);
  });

  test('in a folder that is missing is refused with the cure', async () => {
    path = join(path, 'deeper', 'journal');
    const error = await refusal();
    expect(error).toMatchObject({ code: 'journal.unusable', exitCode: 1 });
    expect(error.message).toContain('ENOENT');
  });

  test('that is no regular file is refused', async () => {
    path = '/dev/full';
    expect((await refusal()).code).toBe('journal.broken');
  });

  test('that can no longer be written says so in the end', MOUNTS, async () => {
    const disk = temporaryFolder();
    mountTmpfs(disk, 'size=64k');
    path = join(disk, 'journal');
    const journal = await Journal.open(path, SOURCES);
    for (let i = 0; i < 10_000; i += 1) journal.add('learned', 'spam', `/archive/${i}`);
    await expect(journal.close()).rejects.toThrow(/cannot be read or written \(ENOSPC\)/);
    // what was written is of use
    const again = await Journal.peek(path, SOURCES);
    expect(again.size).toBeGreaterThan(100);
  });
});

describe('a look into a journal', () => {
  test('finds what is done, and changes nothing', async () => {
    await journalWith('/a', '/b');
    const { length } = readFileSync(path);
    truncateSync(path, length - 3);
    const before = readFileSync(path);
    const done = await Journal.peek(path, SOURCES);
    expect([done.has('/a'), done.has('/b')]).toEqual([true, false]);
    expect(readFileSync(path)).toEqual(before);
  });

  test('that is missing finds nothing, and makes none', async () => {
    expect((await Journal.peek(path, SOURCES)).size).toBe(0);
    expect(() => readFileSync(path)).toThrow('ENOENT');
  });
});
