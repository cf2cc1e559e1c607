import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chanceOf } from '../../support/seed.ts';
import { certify } from './messages.ts';

/**
 * The adversary: whoever may write the drop directory, as a process of its own. `ATTACK ORDER` are
 * its arguments; at the end, or when its standard input ends, it prints its account as JSON.
 */
interface Ground {
  readonly lib: string;
  /** The adversary's own folder on the same file system. */
  readonly den: string;
  /** Where the secrets lie. */
  readonly outside: string;
}

interface SwapOrder extends Ground {
  readonly seed: number;
  readonly tries: number;
}

export interface SwapAccount {
  /** Files that were swapped for a symlink. */
  readonly tries: number;
  /** Symlinks that went the way of the file that they took the place of. */
  readonly hits: number;
}

export interface StagedAccount {
  readonly tries: number;
  readonly written: number;
}

const VERDICTS = ['spam', 'ham'] as const;
let isOver = false;

/** Files of one wave: as many as the daemon takes at a stretch in some milliseconds. */
const WAVE = 250;
/** Files that wait at a time. */
const ON_THE_WAY = 50;

/**
 * Lets files lie until they are about to be taken, then puts symlinks to the secrets in their
 * places, one rename each: some of them between the daemon's last look and its own rename.
 */
async function swap(order: SwapOrder): Promise<SwapAccount> {
  const { lib, den, outside, tries } = order;
  const chance = chanceOf(order.seed);
  const secrets = readdirSync(outside).map((name) => join(outside, name));
  const symlink = join(den, 'symlink');
  let done = 0;
  let hits = 0;
  let delayMs = 30;
  for (let wave = 0; (done < tries || hits === 0) && !isOver; wave += 1) {
    const names = Array.from({ length: WAVE }, (_, i) => `w${wave}-${i}.eml`);
    const places = names.map((name) => join(lib, chance.pick(VERDICTS), name));
    for (const [i, path] of places.entries()) {
      writeFileSync(path, certify({ name: names[i] ?? '', version: 1 }, 400), { mode: 0o660 });
    }
    await sleep(delayMs);
    const from = chance.below(WAVE);
    let early = 0;
    for (let i = 0; i < WAVE; i += 1) {
      const path = places[(from + i) % WAVE] ?? '';
      symlinkSync(chance.pick(secrets), symlink);
      if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) early += 1;
      renameSync(symlink, path);
    }
    done += WAVE;
    // What comes too early or too late hits nothing; a third of the files should be taken by now.
    delayMs = Math.min(200, Math.max(1, delayMs * (early > (WAVE * 2) / 3 ? 1.1 : 0.9)));
    hits += WAVE - removeLeft(places);
  }
  return { tries: done, hits };
}

/**
 * Lays hands on what is on its way to another file system, under the daemon's own names: takes a
 * file aside, puts a symlink to a secret there, and puts the same file back at once.
 */
async function swapStaged(order: SwapOrder): Promise<StagedAccount> {
  const { lib, den, outside, tries } = order;
  const chance = chanceOf(order.seed);
  const secrets = readdirSync(outside).map((name) => join(outside, name));
  const folder = join(lib, 'spam');
  let done = 0;
  let written = 0;
  while (done < tries && !isOver) {
    const names = readdirSync(folder);
    const staged = names.filter((name) => name.startsWith('.learnd-'));
    for (let i = names.length; i < ON_THE_WAY; i += 1, written += 1) {
      const name = `s${written}.eml`;
      writeFileSync(join(folder, name), certify({ name, version: 1 }, 400), { mode: 0o660 });
    }
    const gone: string[] = [];
    for (const name of staged) {
      try {
        renameSync(join(folder, name), join(den, name));
      } catch {
        continue; // the daemon was quicker
      }
      symlinkSync(chance.pick(secrets), join(folder, name));
      gone.push(name);
      done += 1;
    }
    // They come back at once, or after a while in which the daemon may meet the symlinks.
    if (chance.below(4) === 0) await sleep(1);
    for (const name of gone) renameSync(join(den, name), join(folder, name));
    // Time for the daemon to come to others.
    await sleep(chance.below(3));
  }
  removeLeft(readdirSync(folder).map((name) => join(folder, name)));
  return { tries: done, written };
}

/** Removes the symlinks that are still there; says how many that were. */
function removeLeft(paths: readonly string[]): number {
  let left = 0;
  for (const path of paths) {
    try {
      unlinkSync(path);
      left += 1;
    } catch {
      // it was taken
    }
  }
  return left;
}

/** Takes the class folder away and puts a symlink to the secrets there, again and again. */
async function swapFolder(order: SwapOrder): Promise<{ readonly written: number }> {
  const { lib, den, outside, tries } = order;
  const chance = chanceOf(order.seed);
  const folder = join(lib, 'spam');
  let written = 0;
  for (let i = 0; i < tries && !isOver; i += 1) {
    const away = join(chance.pick([lib, den]), 'away');
    writeFileSync(join(folder, `f${i}.eml`), certify({ name: `f${i}.eml`, version: 1 }), {
      mode: 0o660,
    });
    written += 1;
    await sleep(chance.below(30));
    renameSync(folder, away);
    symlinkSync(outside, folder);
    // As long as it takes to be noticed, at times.
    await sleep(i % 40 === 20 ? 2_500 : chance.below(10));
    unlinkSync(folder);
    renameSync(away, folder);
  }
  return { written };
}

/** Fills both class folders with what is no message. */
function junk({ lib, den, outside, count }: Ground & { readonly count: number }): object {
  const secret = join(outside, 'secret-0.eml');
  const hardLinked = join(den, 'hard-linked');
  writeFileSync(hardLinked, '');
  type Kind = readonly [make: (path: string) => void, name: (i: number) => string];
  const symlink = symlinkSync.bind(undefined, secret);
  const link = linkSync.bind(undefined, hardLinked);
  const empty = (path: string): void => writeFileSync(path, '');
  const kinds: readonly Kind[] = [
    [symlink, (i) => `symlink-${i}.eml`],
    [symlink, (i) => `.hidden-${i}.eml`],
    [symlink, (i) => `.learnd-symlink-${i}.eml`],
    [mkdirSync, (i) => `folder-${i}.eml`],
    [empty, (i) => `empty-${i}.eml`],
    [empty, (i) => `.hidden-empty-${i}.eml`],
    [empty, (i) => `\u001b[31m${i}\n`.padEnd(255, '\u0007')],
    [link, (i) => `link-${i}.eml`],
    [link, (i) => `.learnd-link-${i}.eml`],
    [empty, (i) => `.learnd-empty-${i}.eml`],
  ];
  for (let i = 0; i < count; i += 1) {
    const folder = join(lib, VERDICTS[i & 1] ?? 'spam');
    const [make, name] = kinds[i % kinds.length] ?? [empty, String];
    make(join(folder, name(i)));
  }
  const fifos = VERDICTS.flatMap((verdict) =>
    Array.from({ length: 200 }, (_, i) => join(lib, verdict, `fifo-${i}.eml`)),
  );
  execFileSync('mkfifo', ['-m', '660', ...fifos]);
  return { count: count + fifos.length };
}

const ATTACKS: Readonly<Record<string, (order: never) => unknown>> = {
  swap,
  swapStaged,
  swapFolder,
  junk,
};

process.umask(0);
process.stdin.on('end', () => {
  isOver = true;
});
process.stdin.resume();
const [, name = '', order = '{}'] = process.argv;
const attack = ATTACKS[name];
if (attack === undefined) throw new Error(`there is no attack '${name}'`);
const account = await attack(JSON.parse(order) as never);
process.stdout.write(JSON.stringify(account));
process.stdin.destroy();
