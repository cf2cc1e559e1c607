import { symlinkSync, utimesSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { namedSources } from '../../../src/relearn/sources/named-sources.ts';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import {
  mail,
  mboxOf,
  putIn,
  readAll,
  readingOptions,
  told,
} from '../../support/relearn-sources.ts';
import { SECOND_FILE_SYSTEM } from '../../support/needs.ts';
import { folderElsewhere, temporaryFolder } from '../../support/temporary.ts';
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

function sourcesOf(...dirs: readonly string[]): readonly Source[] {
  return namedSources({ dirs, paths: { spam: [], ham: [] } }, readingOptions());
}

async function lines(...names: string[]): Promise<string[]> {
  const found: Found[] = [];
  for (const source of sourcesOf(...names.map((name) => `${folder}/${name}`))) {
    found.push(...(await readAll(source)));
  }
  return told(found, folder).map((line) => line.replace(/ it$/, ''));
}

describe('an archive', () => {
  test('is read by verdict, with and without days and in deeper folders', async () => {
    for (const name of ['spam/a', 'spam/2026-03-01/b', 'spam/x/y/c', 'ham/2026-03-02/d']) {
      put(`A/${name}`);
    }
    const sources = sourcesOf(`${folder}/A/`);
    expect(sources.map(({ name }) => name)).toEqual([`${folder}/A/spam`, `${folder}/A/ham`]);
    const found = await Promise.all(sources.map(readAll));
    expect(found.map((each) => told(each, folder))).toEqual([
      ['message A/spam/2026-03-01/b it', 'message A/spam/a it', 'message A/spam/x/y/c it'],
      ['message A/ham/2026-03-02/d it'],
    ]);
    expect(found[1]).toMatchObject([{ folder: `${folder}/A/ham` }]);
  });

  test('may hold one verdict only', async () => {
    put('A/ham/a');
    put('A/other/a');
    expect(await lines('A')).toEqual(['message A/ham/a']);
  });

  test('may hold mboxes, whose names say nothing of their messages', async () => {
    const box = (...names: string[]): string => mboxOf(names.map((name) => mail(name)));
    putIn(folder, 'A/spam/2023.mbox', box('a', 'b'));
    putIn(folder, 'A/ham/2023.mbox', box('c', 'd'));
    putIn(folder, 'B/spam/2023.mbox', gzipSync(box('e', 'f')));
    putIn(folder, 'B/spam/x', box('one of a message'));
    put('A/ham/x', NOON + 4e9);
    expect(await lines('A', 'B')).toEqual([
      'message A/ham/2023.mbox c',
      'message A/ham/2023.mbox#2 d',
      'message A/ham/x',
      'message A/spam/2023.mbox a',
      'message A/spam/2023.mbox#2 b',
      'message B/spam/2023.mbox e',
      'message B/spam/2023.mbox#2 f',
      'older B/spam/x',
    ]);
  });

  test('takes no file behind a symlink for a newer one', async () => {
    put('other/a', NOON + 9);
    for (const name of ['spam/x/a', 'spam/a', 'ham/b']) put(`A/${name}`);
    symlinkSync(`${folder}/other`, `${folder}/A/ham/x`);
    symlinkSync(`${folder}/other/a`, `${folder}/A/ham/a`);
    const read = (await lines('A')).filter((line) => !line.startsWith('notMail'));
    expect(read).toEqual(['message A/ham/b', 'message A/spam/a', 'message A/spam/x/a']);
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
      'that of the later day, whatever its time',
      {
        'spam/2026-03-01/a': NOON + 50,
        'ham/2026-03-02/a': NOON,
        'ham/2026-03-01/b': NOON,
        'ham/2026-03-03/b': NOON - 50,
        'ham/2026-03-02/b': NOON + 50,
        'spam/2026-03-01/x/a': NOON,
      },
      ['ham/2026-03-02/a', 'ham/2026-03-03/b', 'spam/2026-03-01/x/a'],
    ],
    [
      'a file without a day has that of its time',
      {
        'spam/a': NOON,
        'ham/2026-03-04/a': NOON + 10 * DAY,
        'spam/b': NOON - 2 * DAY,
        'ham/2026-03-04/b': NOON - 10 * DAY,
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

  test('that of the later day or time, in whichever DIR', async () => {
    for (const name of ['A/spam/2026-03-01/a', 'B/ham/2026-03-02/a', 'B/ham/b']) put(name);
    put('A/spam/b', NOON + 1);
    expect(await lines('A', 'B')).toEqual([
      ...['message A/spam/b', 'message B/ham/2026-03-02/a'],
      ...['older A/spam/2026-03-01/a', 'older B/ham/b'],
    ]);
  });

  test('whatever time a file bears', SECOND_FILE_SYSTEM, async () => {
    // tmpfs keeps any; ext4 none behind the year 2446.
    folder = folderElsewhere();
    put('A/spam/a', 9_000_000_000_000);
    put('A/ham/a');
    put('A/ham/b', -9_000_000_000_000);
    expect((await lines('A')).sort()).toEqual([
      'message A/ham/b',
      'message A/spam/a',
      'older A/ham/a',
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
});
