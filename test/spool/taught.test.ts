import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { TaughtMessages } from '../../src/spool/taught.ts';
import type { TaughtMessagesOptions } from '../../src/spool/taught.ts';
import { makeMessage } from '../lab/messages.ts';
import { START } from '../support/manual-clock.ts';
import { taughtFolders } from '../support/taught-folders.ts';
import { temporaryFolder } from '../support/temporary.ts';

const KEY = 'a.eml';
const BODY = makeMessage('spam', 1).raw;
const HOUR_MS = 3_600_000;

interface World {
  readonly path: (name: string) => string;
  readonly taught: TaughtMessages;
  /** Prunes the same folder by other options. */
  readonly prune: (options: Partial<TaughtMessagesOptions>) => Promise<void>;
  readonly faults: unknown[];
  /** What lies in the folder for temporary files. */
  readonly leftovers: () => string[];
}

function makeWorld(options: Partial<TaughtMessagesOptions> = {}): World {
  const { root, folder, temporary } = taughtFolders();
  const faults: unknown[] = [];
  const onFault = (error: unknown): void => void faults.push(error);
  const make = (others: Partial<TaughtMessagesOptions>): TaughtMessages =>
    new TaughtMessages({ folder, temporary, wall: () => START, onFault, ...others });
  return {
    path: (name) => `${root}/taught/${name}`,
    taught: make(options),
    prune: (others) => make(others).prune(),
    faults,
    leftovers: () => readdirSync(`${root}/tmp`),
  };
}

/** Keeps a message whose file says that it was taught so long ago. */
async function putAt(
  { taught, path }: World,
  key: string,
  agoMs: number,
  bytes = 10,
): Promise<void> {
  await taught.put(key, 'spam', randomBody(bytes));
  const at = (START - agoMs) / 1_000;
  utimesSync(path(key), at, at);
}

/** Bytes that don't get fewer by compression. */
function randomBody(bytes: number): Buffer {
  let state = 1;
  return Buffer.from(
    Array.from({ length: bytes }, () => (state = (state * 48_271) % 2_147_483_647) % 256),
  );
}

describe('what was last taught under a key', () => {
  test('is known with its verdict, byte for byte, in the next process, too', async () => {
    const world = makeWorld();
    expect(await world.taught.last(KEY)).toBeUndefined();
    const odd = Buffer.concat([BODY, Buffer.from([0, 255, 13, 10])]);
    for (const [verdict, body] of [
      ['spam', BODY],
      ['ham', odd],
      ['ham', Buffer.alloc(0)],
    ] as const) {
      await world.taught.put(KEY, verdict, body);
      world.taught.settle(KEY);
      expect(await world.taught.last(KEY)).toEqual({ verdict, body, stands: true });
    }
    expect(world.leftovers()).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test('is known with its time until it is settled, and again when it is put anew', async () => {
    const world = makeWorld();
    world.taught.settle(KEY);
    for (const agoMs of [60_000, 30_000]) {
      await putAt(world, KEY, agoMs);
      expect((await world.taught.last(KEY))?.unsettled).toEqual({
        since: START - agoMs,
        forgets: false,
      });
      world.taught.settle(KEY);
      expect(await world.taught.last(KEY)).not.toHaveProperty('unsettled');
    }
    expect(world.faults).toEqual([]);
  });

  test('is known with the time at which the filter was told to forget it, until it is settled', async () => {
    const world = makeWorld();
    world.taught.forgetting(KEY);
    await putAt(world, KEY, 60_000);
    const put = await world.taught.last(KEY);
    for (const isSettled of [false, true]) {
      if (isSettled) world.taught.settle(KEY);
      world.taught.forgetting(KEY);
      expect(await world.taught.last(KEY)).toEqual({
        ...put,
        unsettled: { since: START, forgets: true },
      });
    }
    await putAt(world, KEY, 0);
    expect((await world.taught.last(KEY))?.unsettled?.forgets).toBe(false);
    expect(world.faults).toEqual([]);
  });

  test('lies compressed in one file that only its owner can read', async () => {
    const { taught, path } = makeWorld();
    await taught.put(KEY, 'spam', BODY);
    const file = readFileSync(path(KEY));
    expect(file.length).toBeLessThan(BODY.length * 0.8);
    expect(file.toString('latin1', 0, 5)).toBe('spam\n');
    expect(gunzipSync(file.subarray(5)).equals(BODY)).toBe(true);
    expect(statSync(path(KEY)).mode & 0o777).toBe(0o600);
  });

  test('stands until the same message is taught under another key', async () => {
    const world = makeWorld({ identityOf: (body) => body.toString('latin1', 0, 1) });
    const { taught } = world;
    const stands = async (): Promise<unknown[]> =>
      Promise.all(['a', 'b', 'c'].map(async (key) => (await taught.last(key))?.stands));
    for (const key of ['a', 'b']) await taught.put(key, 'spam', Buffer.from('1'));
    await taught.put('c', 'spam', Buffer.from('2'));
    expect(await stands()).toEqual([false, true, true]);
    await taught.put('a', 'ham', Buffer.from('1 again'));
    expect(await stands()).toEqual([true, false, true]);
    expect(names(world)).toEqual(['.id-1', '.id-2', 'a', 'b', 'c']);
    await world.prune({ days: -100_000 });
    expect(names(world)).toEqual([]);
    expect([world.faults, world.leftovers()]).toEqual([[], []]);
  });

  test.each([
    ['is cut off', (file: Buffer) => file.subarray(0, 40)],
    ['is empty', () => Buffer.alloc(0)],
    ['has another word', () => Buffer.from('eggs\nand more')],
    ['has another bit', (file: Buffer) => file.fill((file[500] ?? 0) ^ 1, 500, 501)],
  ])('is unknown where its file %s, and no fault of the disk', async (_what, spoil) => {
    const { taught, path, faults } = makeWorld();
    await taught.put(KEY, 'spam', BODY);
    writeFileSync(path(KEY), spoil(readFileSync(path(KEY))));
    expect(await taught.last(KEY)).toBeUndefined();
    expect(faults).toEqual([]);
    await taught.put(KEY, 'ham', BODY);
    expect(await taught.last(KEY)).toMatchObject({ verdict: 'ham', body: BODY });
  });

  test.each([
    ['a symlink', 'ln -s "$0" "$1"'],
    ['a FIFO', 'mkfifo "$1"'],
    ['a folder', 'mkdir "$1"'],
  ])('is unknown where %s is in its place, neither followed nor waited on', async (_what, make) => {
    const { taught, path, faults } = makeWorld();
    const elsewhere = `${temporaryFolder()}/file`;
    await taught.put('other.eml', 'spam', BODY);
    renameSync(path('other.eml'), elsewhere);
    execFileSync('sh', ['-c', make, elsewhere, path(KEY)]);
    expect(await taught.last(KEY)).toBeUndefined();
    expect(faults).toEqual([]);
  });

  test('is not followed through a symlink among the temporary files', async () => {
    const world = makeWorld();
    const victim = `${temporaryFolder()}/victim`;
    writeFileSync(victim, 'precious');
    const temporary = world.path('../tmp');
    symlinkSync(victim, `${temporary}/.taught-${KEY}`);
    await world.taught.put(KEY, 'spam', BODY);
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(await world.taught.last(KEY)).toMatchObject({ verdict: 'spam', body: BODY });
  });

  test('is not kept where it is larger than is kept, nor read where it would unpack to more', async () => {
    const world = makeWorld({ maxMessageBytes: 1_000 });
    await world.taught.put(KEY, 'spam', Buffer.alloc(1_001));
    expect(existsSync(world.path(KEY))).toBe(false);
    await world.taught.put(KEY, 'spam', Buffer.alloc(1_000));
    expect((await world.taught.last(KEY))?.body.length).toBe(1_000);
    const larger = makeWorld();
    await larger.taught.put(KEY, 'spam', Buffer.alloc(1_000_000));
    renameSync(larger.path(KEY), world.path(KEY));
    expect(await world.taught.last(KEY)).toBeUndefined();
    expect(world.faults).toEqual([]);
  });

  test('is given up with one word where the disk has no room for it', async () => {
    const world = makeWorld();
    mkdirSync(world.path(KEY));
    await world.taught.put(KEY, 'spam', BODY);
    expect(world.faults).toEqual([expect.objectContaining({ code: 'EISDIR' })]);
    expect(world.leftovers()).toEqual([]);
  });
});

describe('pruning', () => {
  test('removes what is older than is kept, and nothing younger', async () => {
    const world = makeWorld();
    await putAt(world, 'old.eml', 48 * HOUR_MS + 1_000);
    await putAt(world, 'young.eml', 48 * HOUR_MS - 1_000);
    await putAt(world, 'new.eml', 0);
    await world.prune({ days: 2 });
    expect(names(world)).toEqual(['new.eml', 'young.eml']);
  });

  test('of too much removes the oldest first, and no more than is needed', async () => {
    const world = makeWorld();
    for (let age = 0; age < 14; age += 1) await putAt(world, `${age}`, age * HOUR_MS);
    await world.prune({ maxBytes: 10 * 4_096 });
    expect(names(world)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });

  test('of one hour removes as many as is needed', async () => {
    const world = makeWorld();
    for (let number = 0; number < 14; number += 1) await putAt(world, `${number}`, HOUR_MS);
    await world.prune({ maxBytes: 10 * 4_096 });
    expect(names(world)).toHaveLength(10);
  });

  test('comes by itself before an eighth too much has come in', async () => {
    const world = makeWorld({ maxBytes: 80 * 4_096 });
    let most = 0;
    for (let number = 0; number < 200; number += 1) {
      await world.taught.put(`${number}`, 'ham', randomBody(100));
      most = Math.max(most, readdirSync(world.path('')).length);
    }
    expect(most).toBeGreaterThan(80);
    expect(most).toBeLessThanOrEqual(91);
  });
});

function names({ path }: World): string[] {
  return readdirSync(path('')).sort();
}
