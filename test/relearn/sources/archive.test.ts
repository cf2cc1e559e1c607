import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { archiveSources } from '../../../src/relearn/sources/archive.ts';
import { alternate } from '../../../src/relearn/sources/alternate.ts';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import { mail, readAll, readingOptions, told } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { setMtimeNs } from '../../support/test-spool.ts';

/** Noon of 2026-03-05, in seconds. */
const NOON = Date.UTC(2026, 2, 5, 12) / 1_000;

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, mtime = NOON): void {
  const path = `${folder}/${name}`;
  mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
  writeFileSync(path, mail('it'));
  utimesSync(path, mtime, mtime);
}

function sourcesOf(...names: string[]): Source[] {
  return archiveSources(
    names.map((name) => `${folder}/${name}`),
    readingOptions(),
  );
}

async function lines(...names: string[]): Promise<string[]> {
  const all: Found[] = [];
  for await (const { found } of alternate(sourcesOf(...names))) all.push(found);
  return told(all, folder).map((line) => line.replace(/ it$/, ''));
}

describe('an archive', () => {
  test('is read by verdict, with and without days and in deeper folders', async () => {
    for (const name of ['spam/a', 'spam/2026-03-01/b', 'spam/x/y/c', 'ham/2026-03-02/d']) {
      put(`A/${name}`);
    }
    const [spam, ham] = sourcesOf('A');
    expect([spam?.verdict, ham?.verdict]).toEqual(['spam', 'ham']);
    expect([spam?.name, ham?.name]).toEqual([`${folder}/A/spam`, `${folder}/A/ham`]);
    expect(told(spam === undefined ? [] : await readAll(spam), folder)).toEqual([
      'message A/spam/2026-03-01/b it',
      'message A/spam/a it',
      'message A/spam/x/y/c it',
    ]);
    expect(told(ham === undefined ? [] : await readAll(ham), folder)).toEqual([
      'message A/ham/2026-03-02/d it',
    ]);
  });

  test('may hold one verdict only', async () => {
    put('A/ham/a');
    expect(await lines('A')).toEqual(['message A/ham/a']);
  });

  test('that holds neither, or is not there, fails once', async () => {
    put('A/other/a');
    expect(await lines('A', 'B')).toEqual([
      'failed A: holds neither spam/ nor ham/',
      'failed B: holds neither spam/ nor ham/',
    ]);
  });

  test.each(['spam', 'ham'])(
    'holds nothing in a symlink, nothing newer either: %s',
    async (link) => {
      const real = link === 'spam' ? 'ham' : 'spam';
      put(`A/${real}/a`);
      symlinkSync(`${folder}/A/${real}`, `${folder}/A/${link}`);
      expect(await lines('A')).toEqual([
        `failed A/${link}: a symbolic link, which is not followed`,
        `message A/${real}/a`,
      ]);
    },
  );

  test('takes no file behind a symlink for a newer one', async () => {
    put('other/a', NOON + 9);
    put('A/spam/x/a');
    put('A/spam/a');
    put('A/ham/b');
    symlinkSync(`${folder}/other`, `${folder}/A/ham/x`);
    symlinkSync(`${folder}/other`, `${folder}/A/ham/2026-03-09`);
    symlinkSync(`${folder}/other/a`, `${folder}/A/ham/a`);
    expect((await lines('A')).filter((line) => line.startsWith('message'))).toEqual([
      'message A/ham/b',
      'message A/spam/a',
      'message A/spam/x/a',
    ]);
  });

  test('without days gives the later file of a name', async () => {
    put('A/spam/a', NOON + 1);
    put('A/ham/a', NOON);
    put('A/spam/b', NOON);
    put('A/ham/b', NOON + 1);
    expect(await lines('A')).toEqual([
      'message A/ham/b',
      'message A/spam/a',
      'older A/ham/a',
      'older A/spam/b',
    ]);
  });

  test('gives ham of two files of the same time', async () => {
    put('A/spam/a');
    put('A/ham/a');
    put('A/spam/2026-03-01/b');
    put('A/ham/2026-03-01/b');
    expect(await lines('A')).toEqual([
      'message A/ham/2026-03-01/b',
      'message A/ham/a',
      'older A/spam/2026-03-01/b',
      'older A/spam/a',
    ]);
  });

  test('goes by days before it goes by times', async () => {
    put('A/spam/2026-03-01/a', NOON + 50);
    put('A/ham/2026-03-02/a', NOON);
    put('A/ham/2026-03-01/b', NOON);
    put('A/ham/2026-03-03/b', NOON - 50);
    put('A/ham/2026-03-02/b', NOON + 50);
    put('A/spam/2026-03-01/x/c');
    put('A/ham/2026-03-03/x/c');
    put('A/ham/2026-03-03/c');
    expect(await lines('A')).toEqual([
      'message A/ham/2026-03-02/a',
      'message A/ham/2026-03-03/b',
      'message A/ham/2026-03-03/c',
      'message A/ham/2026-03-03/x/c',
      'older A/ham/2026-03-01/b',
      'older A/ham/2026-03-02/b',
      'older A/spam/2026-03-01/a',
      'older A/spam/2026-03-01/x/c',
    ]);
  });

  test.each([
    ['spam', 1n],
    ['ham', 0n],
    ['ham', -1n],
  ] as const)('takes %s of two of a day where spam is %d ns newer', async (winner, nanoseconds) => {
    const time = BigInt(NOON) * 1_000_000_000n + 123_456_789n;
    put('A/spam/2026-03-01/a');
    put('A/ham/2026-03-01/a');
    setMtimeNs(`${folder}/A/spam/2026-03-01/a`, time + nanoseconds);
    setMtimeNs(`${folder}/A/ham/2026-03-01/a`, time);
    const other = winner === 'spam' ? 'ham' : 'spam';
    expect(await lines('A')).toEqual([
      `message A/${winner}/2026-03-01/a`,
      `older A/${other}/2026-03-01/a`,
    ]);
  });

  test.each([
    ['one day', []],
    ['several days', ['A/ham/2020-01-01/z']],
  ])('takes the day of the mtime for a file without one: %s', async (_name, others) => {
    for (const name of others) put(name);
    put('A/spam/a', NOON);
    put('A/ham/2026-03-04/a', NOON + 1_000_000);
    expect(await lines('A')).toEqual(
      expect.arrayContaining(['message A/spam/a', 'older A/ham/2026-03-04/a']),
    );
    put('A/spam/a', NOON - 86_400);
    expect(await lines('A')).toEqual(
      expect.arrayContaining(['older A/spam/a', 'message A/ham/2026-03-04/a']),
    );
  });

  test('named twice, or with its copy, gives each name once', async () => {
    for (const dir of ['A', 'B']) {
      put(`${dir}/spam/2026-03-01/a`);
      put(`${dir}/ham/b`);
    }
    expect(await lines('A', 'B')).toEqual([
      'message A/ham/b',
      'message A/spam/2026-03-01/a',
      'older B/ham/b',
      'older B/spam/2026-03-01/a',
    ]);
    expect((await lines('A', 'A')).filter((line) => line.startsWith('message'))).toHaveLength(2);
  });

  test('counts exactly one file of every name, wherever its files lie', async () => {
    const anyFile = fc.record({
      dir: fc.constantFrom('A', 'B'),
      verdict: fc.constantFrom('spam', 'ham'),
      day: fc.constantFrom('', '2026-03-04/', '2026-03-05/', '2026-03-06/'),
      key: fc.constantFrom('a', 'b', 'x/a'),
      mtime: fc.constantFrom(NOON - 86_400, NOON, NOON + 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyFile, { minLength: 1, maxLength: 12 }), async (files) => {
        folder = temporaryFolder();
        for (const { dir, verdict, day, key, mtime } of files) {
          put(`${dir}/${verdict}/${day}${key}`, mtime);
        }
        const all = await lines('A', 'B');
        const keys = all
          .filter((line) => line.startsWith('message'))
          .map((line) => line.replace(/^message .\/\w+\/(\d{4}-\d\d-\d\d\/)?/, ''));
        expect(keys.sort()).toEqual([...new Set(files.map(({ key }) => key))].sort());
      }),
      { numRuns: 40 },
    );
  });

  test.each([
    ['of one day', ['2026-03-01']],
    ['of two days', ['2026-03-01', '2026-03-02']],
  ])('%s knows how many messages it holds', async (_name, days) => {
    for (const day of days) {
      put(`A/spam/${day}/a`);
      put(`A/spam/${day}/b`);
      put(`A/ham/${day}/c`);
    }
    const sources = sourcesOf('A');
    await Promise.all(sources.map((source) => source.count(new AbortController().signal)));
    expect(sources.map(({ expected }) => expected)).toEqual([2 * days.length, days.length]);
    for (const source of sources) await readAll(source);
    expect(sources.map(({ expected }) => expected)).toEqual([2, 1]);
  });
});
