import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import { mail, MAX_BYTES, mboxOf, readingOptions } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

/** Much of everything, in little memory. */

const MIB = 1024 * 1024;

interface Reading {
  readonly counts: Partial<Record<Found['kind'], number>>;
  /** Heap and external memory at the highest, above that of the beginning, in bytes. */
  readonly memory: number;
}

async function readLightly(source: Source): Promise<Reading> {
  const used = (): number => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const counts: Partial<Record<Found['kind'], number>> = {};
  const before = used();
  let most = before;
  let total = 0;
  const sampler = setInterval(() => {
    most = Math.max(most, used());
  }, 5);
  for await (const { kind } of source.read()) {
    counts[kind] = (counts[kind] ?? 0) + 1;
    total += 1;
    if (total % 500 === 0) most = Math.max(most, used());
  }
  clearInterval(sampler);
  return { counts, memory: Math.max(most, used()) - before };
}

function stdinOf(content: () => AsyncIterable<Buffer>): Source {
  return new PathSource('-', 'spam', readingOptions({ stdin: content }));
}

describe('little memory is enough', () => {
  test('for an mbox of 400 MB', async () => {
    const one = Buffer.from(mboxOf([mail('one', 'Some text of a line.\n'.repeat(190))]));
    const copies = Math.ceil(400_000_000 / one.length);
    async function* content(): AsyncGenerator<Buffer, void, undefined> {
      for (let count = 0; count < copies; count += 1) yield await Promise.resolve(one);
    }
    const { counts, memory } = await readLightly(stdinOf(content));
    expect(counts).toEqual({ message: copies });
    expect(memory).toBeLessThan(60 * MIB);
  });

  test('for an mbox of 200 MB whose lengths are all wrong', async () => {
    const text = 'Some text of a line.\n'.repeat(40);
    const length = MAX_BYTES - 5_000;
    const one = Buffer.from(mboxOf([`Content-Length: ${length}\n${mail('one', text)}`]));
    const copies = Math.ceil(200_000_000 / one.length);
    async function* content(): AsyncGenerator<Buffer, void, undefined> {
      for (let count = 0; count < copies; count += 1) yield await Promise.resolve(one);
    }
    const { counts, memory } = await readLightly(stdinOf(content));
    expect(counts).toEqual({ message: copies });
    expect(memory).toBeLessThan(60 * MIB);
  });

  test('for a message of 1 GB in a gzip of 1 MB, which fails as over-size', async () => {
    const zeros = gzipSync(Buffer.alloc(64 * MIB, '0'));
    async function* content(): AsyncGenerator<Buffer, void, undefined> {
      yield await Promise.resolve(gzipSync(mail('zeros', '')));
      for (let count = 0; count < 16; count += 1) yield zeros;
    }
    const { counts, memory } = await readLightly(stdinOf(content));
    expect(counts).toEqual({ failed: 1 });
    expect(memory).toBeLessThan(60 * MIB);
  });

  test('for a gzip whose reader rests: nothing is unpacked ahead', async () => {
    const one = mail('one', 'x'.repeat(1_000));
    const packed = gzipSync(mboxOf(Array.from({ length: 60_000 }, () => one)));
    const stdin = async function* (): AsyncGenerator<Buffer, void, undefined> {
      yield await Promise.resolve(packed);
    };
    const reading = stdinOf(stdin).read();
    const used = (): number => process.memoryUsage().external;
    const before = used();
    await reading.next();
    for (let turn = 0; turn < 60_000; turn += 1) await setImmediate();
    expect(used() - before).toBeLessThan(4 * MIB);
    await reading.return();
  });

  test('for a gzip of 1 GB of zeros, which is no mail', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB));
    async function* content(): AsyncGenerator<Buffer, void, undefined> {
      for (let count = 0; count < 16; count += 1) yield await Promise.resolve(bomb);
    }
    const { counts, memory } = await readLightly(stdinOf(content));
    expect(counts).toEqual({ failed: 1 });
    expect(memory).toBeLessThan(60 * MIB);
  });
});

describe('a folder of 20,000 files', () => {
  test('is read and counted without keeping others from the event loop', async () => {
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
    const source = new PathSource(folder, 'spam', readingOptions());
    const counting = source.count(new AbortController().signal);
    const { counts, memory } = await readLightly(source);
    await counting;
    clearInterval(timer);
    expect(counts).toEqual({ message: 10_000, skipped: 10_000 });
    expect(source.expected).toBe(10_000);
    expect(memory).toBeLessThan(60 * MIB);
    expect(turns).toBeGreaterThan(20);
  });

  test('leaves no descriptor open, however the reading ends', async () => {
    const folder = temporaryFolder();
    for (let index = 0; index < 30; index += 1) {
      mkdirSync(`${folder}/${index}/deep`, { recursive: true });
      writeFileSync(`${folder}/${index}/deep/box`, mboxOf([mail('one'), mail('two')]));
      writeFileSync(`${folder}/${index}/large`, gzipSync(mail('x', 'x\n'.repeat(MAX_BYTES))));
    }
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let most = 1; most < 40; most += 3) {
      let count = 0;
      for await (const found of new PathSource(folder, 'spam', readingOptions()).read()) {
        expect(found.place).toContain(folder);
        count += 1;
        if (count === most) break;
      }
      expect(open()).toBe(before);
    }
  });
});

describe('a small packed mbox', () => {
  test('cut off at every 97th byte never gives a message that was cut', async () => {
    const messages = Array.from({ length: 100 }, (_, index) =>
      mail(`number ${index}`, `${Math.sin(index)} `.repeat(40)),
    );
    const folder = temporaryFolder();
    const packed = gzipSync(mboxOf(messages.map((message) => `${message}\n`)));
    for (let length = 11; length < packed.length; length += 97) {
      const path = `${folder}/${length}`;
      writeFileSync(path, packed.subarray(0, length));
      const bodies: string[] = [];
      let last: Found | undefined;
      for await (const found of new PathSource(path, 'ham', readingOptions()).read()) {
        if (found.kind === 'message') bodies.push(found.body.toString());
        last = found;
      }
      expect(last).toEqual({
        kind: 'failed',
        place: path,
        reason: 'broken gzip (unexpected end of file)',
      });
      expect(bodies).toEqual(messages.slice(0, bodies.length).map((message) => `${message}\n`));
    }
  });
});
