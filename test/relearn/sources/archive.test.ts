import { symlinkSync, utimesSync } from 'node:fs';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { archiveSources } from '../../../src/relearn/sources/archive.ts';
import type { Source } from '../../../src/relearn/sources/source.ts';
import { mail, putIn, readAll, readingOptions, told } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { setMtimeNs } from '../../support/test-spool.ts';

/** Noon of 2026-03-05, in seconds. */
const NOON = Date.UTC(2026, 2, 5, 12) / 1_000;
const DAY = 86_400;

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, mtime = NOON): void {
  utimesSync(putIn(folder, name, mail('it')), mtime, mtime);
}

function sourcesOf(...names: string[]): Source[] {
  return archiveSources(
    names.map((name) => `${folder}/${name}`),
    readingOptions(),
  );
}

async function lines(...names: string[]): Promise<string[]> {
  const found = (await Promise.all(sourcesOf(...names).map(readAll))).flat();
  return told(found, folder).map((line) => line.replace(/ it$/, ''));
}

describe('an archive', () => {
  test('is read by verdict, with and without days and in deeper folders', async () => {
    for (const name of ['spam/a', 'spam/2026-03-01/b', 'spam/x/y/c', 'ham/2026-03-02/d']) {
      put(`A/${name}`);
    }
    const sources = sourcesOf('A');
    expect(sources.map(({ name, verdict }) => `${verdict} ${name}`)).toEqual([
      ...[`spam ${folder}/A/spam`, `ham ${folder}/A/ham`],
    ]);
    await Promise.all(sources.map((source) => source.count(new AbortController().signal)));
    expect(sources.map(({ expected }) => expected)).toEqual([3, 1]);
    const found = await Promise.all(sources.map(readAll));
    expect(found.map((each) => told(each, folder))).toEqual([
      ['message A/spam/2026-03-01/b it', 'message A/spam/a it', 'message A/spam/x/y/c it'],
      ['message A/ham/2026-03-02/d it'],
    ]);
    const inFolders = found.flat().flatMap((each) => ('folder' in each ? [each.folder] : []));
    expect(new Set(inFolders)).toEqual(
      new Set(['spam', 'spam/x/y', 'ham'].map((name) => `${folder}/A/${name}`)),
    );
    expect(sources.map(({ expected }) => expected)).toEqual([3, 1]);
  });

  test('may hold one verdict only; one that holds neither, or is not there, fails once', async () => {
    put('A/ham/a');
    put('B/other/a');
    expect(await lines('A', 'B', 'C')).toEqual([
      'failed B: holds neither spam/ nor ham/',
      'failed C: holds neither spam/ nor ham/',
      'message A/ham/a',
    ]);
  });

  test('takes no file behind a symlink for a newer one', async () => {
    put('other/a', NOON + 9);
    for (const name of ['spam/x/a', 'spam/2026-03-01/x/a', 'ham/b', 'spam/a']) put(`A/${name}`);
    symlinkSync(`${folder}/other`, `${folder}/A/ham/x`);
    symlinkSync(`${folder}/other`, `${folder}/A/ham/2026-03-09`);
    symlinkSync(`${folder}/other/a`, `${folder}/A/ham/a`);
    const read = (await lines('A')).filter((line) => /^(message|older)/.test(line));
    expect(read).toEqual([
      ...['message A/ham/b', 'message A/spam/a', 'message A/spam/x/a'],
      'older A/spam/2026-03-01/x/a',
    ]);
  });
});

describe('of several files of a name one counts:', () => {
  test.each<[string, Record<string, number>, string[]]>([
    [
      'the later one, without days',
      { 'spam/a': NOON + 1, 'ham/a': NOON, 'spam/b': NOON, 'ham/b': NOON + 1 },
      ['ham/b', 'spam/a'],
    ],
    [
      'ham of the same time',
      { 'spam/a': NOON, 'ham/a': NOON, 'spam/2026-03-01/b': NOON, 'ham/2026-03-01/b': NOON },
      ['ham/2026-03-01/b', 'ham/a'],
    ],
    [
      'that of the later day, whatever its time',
      {
        ...{ 'spam/2026-03-01/a': NOON + 50, 'ham/2026-03-02/a': NOON },
        ...{ 'ham/2026-03-01/b': NOON, 'ham/2026-03-03/b': NOON - 50 },
        ...{ 'ham/2026-03-02/b': NOON + 50, 'spam/2026-03-01/x/c': NOON },
        ...{ 'ham/2026-03-03/x/c': NOON, 'ham/2026-03-03/c': NOON },
      },
      ['ham/2026-03-02/a', 'ham/2026-03-03/b', 'ham/2026-03-03/c', 'ham/2026-03-03/x/c'],
    ],
    [
      'a file without a day has that of its time',
      {
        ...{ 'spam/a': NOON, 'ham/2026-03-04/a': NOON + 10 * DAY },
        ...{ 'spam/b': NOON - 2 * DAY, 'ham/2026-03-04/b': NOON - 10 * DAY },
      },
      ['ham/2026-03-04/b', 'spam/a'],
    ],
  ])('%s', async (_name, files, expected) => {
    for (const [name, mtime] of Object.entries(files)) put(`A/${name}`, mtime);
    const others = Object.keys(files).filter((name) => !expected.includes(name));
    expect(await lines('A')).toEqual([
      ...expected.map((name) => `message A/${name}`),
      ...others.map((name) => `older A/${name}`).sort(),
    ]);
  });

  test('by nanoseconds', async () => {
    const time = BigInt(NOON) * 1_000_000_000n + 123_456_789n;
    for (const verdict of ['spam', 'ham']) put(`A/${verdict}/2026-03-01/a`);
    setMtimeNs(`${folder}/A/ham/2026-03-01/a`, time);
    for (const [nanoseconds, winner] of [
      [1n, 'spam'],
      [0n, 'ham'],
      [-1n, 'ham'],
    ] as const) {
      setMtimeNs(`${folder}/A/spam/2026-03-01/a`, time + nanoseconds);
      expect((await lines('A'))[0]).toBe(`message A/${winner}/2026-03-01/a`);
    }
  });

  test('exactly one, wherever its files lie', async () => {
    const anyFile = fc.record({
      dir: fc.constantFrom('A', 'B'),
      verdict: fc.constantFrom('spam', 'ham'),
      day: fc.constantFrom('', '2026-03-04/', '2026-03-05/', '2026-03-06/'),
      key: fc.constantFrom('a', 'b', 'x/a'),
      mtime: fc.constantFrom(NOON - DAY, NOON, NOON + 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyFile, { minLength: 1, maxLength: 12 }), async (files) => {
        folder = temporaryFolder();
        for (const { dir, verdict, day, key, mtime } of files) {
          put(`${dir}/${verdict}/${day}${key}`, mtime);
        }
        const keys = (await lines('A', 'B'))
          .filter((line) => line.startsWith('message'))
          .map((line) => line.replace(/^message .\/\w+\/(\d{4}-\d\d-\d\d\/)?/, ''));
        expect(keys.sort()).toEqual([...new Set(files.map(({ key }) => key))].sort());
      }),
      { numRuns: 40 },
    );
  });
});
