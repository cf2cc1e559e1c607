import { TIME } from '../../support/needs.ts';
import { openFilesBelow } from '../../support/open-files.ts';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import { mail, MAX_BYTES, mboxOf, sourceAt, stdinOf } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

/** Much of everything, in little memory. */

const MIB = 1024 * 1024;

type Counts = Partial<Record<Found['kind'], number>>;

/** @returns heap and external memory at the highest, above that of the beginning, in bytes */
async function readLightly(source: Source): Promise<{ counts: Counts; memory: number }> {
  const used = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const counts: Counts = {};
  const before = used();
  let most = before;
  const sampler = setInterval(() => {
    most = Math.max(most, used());
  }, 5);
  for await (const { kind } of source.read()) {
    const count = (counts[kind] ?? 0) + 1;
    counts[kind] = count;
    if (count % 500 === 1) most = Math.max(most, used());
  }
  clearInterval(sampler);
  return { counts, memory: most - before };
}

/** A content of so many times the same piece, behind another one. */
async function* times(
  count: number,
  piece: Buffer,
  first: Buffer = Buffer.alloc(0),
): AsyncGenerator<Buffer, void, undefined> {
  yield first;
  for (let index = 0; index < count; index += 1) yield await Promise.resolve(piece);
}

const box = (message: string): Buffer => Buffer.from(mboxOf([message]));
const plain = box(mail('one', 'Some text of a line.\n'.repeat(190)));
const zeros = gzipSync(Buffer.alloc(64 * MIB, '0'));
const lines = Buffer.alloc(64_000, 'x\n');

test.each<[string, () => AsyncIterable<Buffer>, Counts]>([
  ['an mbox of 160 MB', () => times(40_000, plain), { message: 40_000 }],
  [
    'a gzip of 0.5 MB with a message of 512 MB, which is over-size',
    () => times(8, zeros, gzipSync(mail('zeros', ''))),
    { failed: 1 },
  ],
  [
    'an mbox with a message of 100 MB, which is over-size',
    () => times(1_600, lines, Buffer.concat([plain, box(mail('two', ''))])),
    { message: 1, failed: 1 },
  ],
  [
    'a From_ line of 100 MB',
    () => times(1_600, Buffer.alloc(64_000, 'x'), Buffer.concat([plain, Buffer.from('From ')])),
    { failed: 1 },
  ],
])('little memory is enough for %s', TIME, async (_what, content, expected) => {
  const { counts, memory } = await readLightly(stdinOf(content()));
  expect(counts).toEqual(expected);
  expect(memory).toBeLessThan(60 * MIB);
});

test('nothing is unpacked ahead of a reader that rests', TIME, async () => {
  const one = mail('one', 'x'.repeat(1_000));
  const packed = gzipSync(mboxOf(Array.from({ length: 60_000 }, () => one)));
  const reading = stdinOf(times(1, packed)).read();
  const used = (): number => process.memoryUsage().external;
  const before = used();
  await reading.next();
  for (let turn = 0; turn < 20_000; turn += 1) await setImmediate();
  expect(used() - before).toBeLessThan(4 * MIB);
  await reading.return();
});

test('a folder of 20,000 files is read and counted beside a busy event loop', async () => {
  const folder = temporaryFolder();
  mkdirSync(`${folder}/in`);
  writeFileSync(`${folder}/in/mail`, mboxOf([mail('one')]));
  writeFileSync(`${folder}/in/other`, 'no mail');
  for (let index = 0; index < 19_998; index += 1) {
    linkSync(`${folder}/in/${index % 2 === 0 ? 'mail' : 'other'}`, `${folder}/in/${index}`);
  }
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  const source = sourceAt(folder);
  const counting = source.count(new AbortController().signal);
  const { counts } = await readLightly(source);
  await counting;
  clearInterval(timer);
  expect(counts).toEqual({ message: 10_000, notMail: 10_000 });
  expect(source.expected).toBe(10_000);
  expect(turns).toBeGreaterThan(20);
});

test('no descriptor stays open, however the reading ends', async () => {
  const folder = temporaryFolder();
  for (let index = 0; index < 30; index += 1) {
    mkdirSync(`${folder}/${index}/deep`, { recursive: true });
    writeFileSync(`${folder}/${index}/deep/box`, mboxOf([mail('one'), mail('two')]));
    writeFileSync(`${folder}/${index}/large`, gzipSync(mail('x', 'x\n'.repeat(MAX_BYTES))));
  }
  for (let most = 1; most < 40; most += 3) {
    let count = 0;
    for await (const found of sourceAt(folder).read()) {
      expect(found.place).toContain(folder);
      count += 1;
      if (count === most) break;
    }
    await expect.poll(() => openFilesBelow(folder)).toEqual([]);
  }
});
