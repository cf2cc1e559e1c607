import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
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

function text(): string {
  return readFileSync(path, 'latin1');
}

async function journalWith(...places: readonly string[]): Promise<void> {
  const journal = await Journal.open(path, SOURCES);
  for (const place of places) journal.add('learned', 'spam', place);
  await journal.close();
}

/** How opening the journal is refused, and that it stays as it is. */
async function refusal(sources = SOURCES): Promise<OperatorError> {
  const before = path.startsWith('/dev') ? '' : text();
  try {
    await (await Journal.open(path, sources)).close();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    if (before !== '') expect(text()).toBe(before);
    return error;
  }
  throw new Error('it was opened');
}

describe('a journal', () => {
  test('has what was noted, when the same sources come again, and goes on behind it', async () => {
    await journalWith('/archive/spam/a.eml');
    const journal = await Journal.open(path, { ...SOURCES });
    expect(journal.has('/archive/spam/a.eml')).toBe(true);
    expect(journal.has('/archive/spam/b.eml')).toBe(false);
    journal.add('duplicate', 'ham', '/archive/box#2');
    journal.add('refused', 'ham', '/b');
    const lines = [
      'learned spam /archive/spam/a.eml',
      'known ham /archive/box#2',
      'refused ham /b',
    ];
    // without being closed
    await expect.poll(() => text().split('\n').slice(2, -1)).toEqual(lines);
    await journal.close();
  });

  test('loses no line, however many come at once', async () => {
    const places = Array.from({ length: 20_000 }, (_, index) => `/m${index}`);
    await journalWith(...places);
    const done = await Journal.peek(path, SOURCES);
    expect(places.every(done)).toBe(true);
  });

  test('may be torn anywhere: the torn line is cut off, the others stay', async () => {
    await journalWith('/a', '/b', '/c');
    const content = readFileSync(path);
    for (let length = content.length - 1; length > 0; length -= 1) {
      const torn = content.subarray(0, length);
      writeFileSync(path, torn);
      const lines = torn.toString().split('\n').slice(2, -1);
      const whole = ['/a', '/b', '/c'].slice(0, lines.length);
      expect(['/a', '/b', '/c', '/d'].filter(await Journal.peek(path, SOURCES))).toEqual(whole);
      // A look changes nothing.
      expect(readFileSync(path)).toEqual(torn);
      if (length % 10 !== 0) continue;
      await journalWith('/d');
      const again = ['/a', '/b', '/c', '/d'].filter(await Journal.peek(path, SOURCES));
      expect(again).toEqual([...whole, '/d']);
    }
  });

  test('may end in zeros, as after a power loss', async () => {
    await journalWith('/a');
    appendFileSync(path, Buffer.alloc(100));
    await journalWith();
    expect(text().endsWith('learned spam /a\n')).toBe(true);
  });

  test.each<[string, JournalSources]>([
    ['other sources', { spam: ['/other'], ham: [] }],
    ['the same sources with the verdicts swapped', { spam: SOURCES.ham, ham: SOURCES.spam }],
  ])('of %s is refused, and told which', async (_what, sources) => {
    await journalWith('/a');
    const error = await refusal(sources);
    expect(error).toMatchObject({ code: 'journal.foreign', exitCode: 64 });
    expect(error.message).toContain('/archive/spam');
  });

  test.each([
    ['a message', 'From: a@b\n\nbody\n', 1],
    ['a text without a line end', 'hello', 1],
    ['binary data', '\u0000\u0001\u0002', 1],
    [
      'one of a version that numbered messages otherwise',
      'kopano-learnd relearn journal 1\n{}\n',
      1,
    ],
    ['one with something else in its middle', 'nonsense\nlearned spam /b\n', 4],
  ])('that is %s is refused, with the line', async (_what, content, line) => {
    if (line > 1) await journalWith('/a');
    appendFileSync(path, content);
    const error = await refusal();
    expect(error).toMatchObject({ code: 'journal.broken', exitCode: 64 });
    expect(error.message).toContain(path);
    expect(error.message).toContain(`line ${line}`);
  });

  test('that another run is writing is refused for the time being', async () => {
    const journal = await Journal.open(path, SOURCES);
    expect(await refusal()).toMatchObject({ code: 'journal.in-use', exitCode: 75 });
    await journal.close();
    await journalWith('/a');
  });

  test('in a folder that is missing, or that is no regular file, is refused', async () => {
    const missing = Journal.open(join(path, 'deeper', 'journal'), SOURCES);
    await expect(missing).rejects.toMatchObject({ code: 'journal.unusable', exitCode: 1 });
    await expect(missing).rejects.toThrow('ENOENT');
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
    expect((await Journal.peek(path, SOURCES))('/archive/100')).toBe(true);
  });

  test('that is missing has nothing for a look, which makes none', async () => {
    expect((await Journal.peek(path, SOURCES))('/a')).toBe(false);
    expect(text).toThrow('ENOENT');
  });
});
