import { gzipSync } from 'node:zlib';
import { Decompress } from 'fzstd';
import { describe, expect, test } from 'vitest';
import { BrokenContents } from '../../../src/relearn/sources/fault.ts';
import { pathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import { Watchdog } from '../../../src/relearn/sources/watchdog.ts';
import { unzstd } from '../../../src/relearn/sources/zstd.ts';
import {
  bodiesOf,
  inPieces,
  mail,
  MAX_BYTES,
  mboxOf,
  readAll,
  readingOptions,
  told,
} from '../../support/relearn-sources.ts';
import { LINES, MBOX, ZSTD } from '../../support/relearn-zstd.ts';

const MESSAGES = [mail('one'), mail('two', 'More text.\n'.repeat(50)), mail('three')];

async function read(content: Buffer, piece = 64 * 1024): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, piece);
  return readAll(pathSource('-', 'spam', readingOptions({ stdin })));
}

describe('gzip', () => {
  const packed = gzipSync(mboxOf(MESSAGES));

  test.each([1, 7, 65_536])('is unpacked, in pieces of %i bytes', async (piece) => {
    expect(bodiesOf(await read(packed, piece))).toEqual(MESSAGES);
  });

  test('of several members is one content', async () => {
    const text = mboxOf(MESSAGES);
    const members = [text.slice(0, 100), text.slice(100, 101), text.slice(101)];
    const content = Buffer.concat(members.map((each) => gzipSync(each)));
    for (const piece of [1, 65_536]) {
      expect(bodiesOf(await read(content, piece))).toEqual(MESSAGES);
    }
  });

  test('that ends early gives its whole messages, and fails', async () => {
    for (let length = 11; length < packed.length; length += 1) {
      const found = await read(packed.subarray(0, length));
      const bodies = bodiesOf(found);
      expect(bodies).toEqual(MESSAGES.slice(0, bodies.length));
      expect(found.filter(({ kind }) => kind !== 'message')).toEqual([
        { kind: 'failed', place: '-', reason: 'broken gzip (unexpected end of file)' },
      ]);
    }
    const almost = await read(packed.subarray(0, -1));
    expect(bodiesOf(almost)).toEqual(MESSAGES.slice(0, 2));
  });

  test('that is followed by something else fails', async () => {
    const found = await read(Buffer.concat([packed, Buffer.from('garbage')]));
    expect(told(found)).toContain('failed -: broken gzip (incorrect header check)');
  });

  test('that breaks in the middle gives what came before', async () => {
    const good = Array.from({ length: 2_000 }, (_, index) =>
      mail(`number ${index}`, `${Math.sin(index)}\n`.repeat(10)),
    );
    const content = gzipSync(mboxOf(good));
    content.fill(0xff, content.length - 2_000, content.length - 1_900);
    const found = await read(content);
    expect(found.at(-1)).toMatchObject({ kind: 'failed', place: '-' });
    const bodies = bodiesOf(found.slice(0, -1));
    expect(bodies.length).toBeGreaterThan(1_000);
    expect(bodies.slice(0, 1_000)).toEqual(good.slice(0, 1_000));
  });

  test('within gzip is not unpacked again', async () => {
    expect(told(await read(gzipSync(packed)))).toEqual([
      'failed -: packed twice: zcat FILE | kopano-learnd relearn --spam -',
    ]);
  });

  test('of a tarball, of nothing and of text is no mail', async () => {
    const tar = Buffer.alloc(10_240);
    tar.write('etc/passwd\u00000000644');
    expect(told(await read(gzipSync(tar)))).toEqual(['failed -: not a mail message']);
    expect(told(await read(gzipSync('')))).toEqual(['failed -: empty']);
    expect(told(await read(gzipSync('text')))).toEqual(['failed -: not a mail message']);
  });

  test('of one message that is over-size is told with its size', async () => {
    const message = mail('one', 'x'.repeat(5_000_000));
    expect(told(await read(gzipSync(message)))).toEqual([
      `failed -: over-size: ${message.length} bytes, LEARN_MAX_BYTES is ${MAX_BYTES}`,
    ]);
  });
});

describe('zstd', () => {
  const two = bodiesOfMbox();

  test.each(['plain', 'checksum', 'twoFrames', 'skippable'] as const)(
    'is unpacked: %s, in pieces of any size',
    async (name) => {
      for (const piece of [1, 3, 10, 65_536]) {
        expect(bodiesOf(await read(ZSTD[name], piece))).toEqual(two);
      }
    },
  );

  test('of several blocks is unpacked', async () => {
    const lines = Array.from({ length: LINES }, (_, index) => `Line ${index % 10}\n`);
    const [body] = bodiesOf(await read(ZSTD.blocks));
    expect(body).toBe(`From: a@example.org\nSubject: large\n\n${lines.join('')}`);
  });

  test.each(['plain', 'checksum', 'twoFrames', 'skippable'] as const)(
    'that ends early gives whole messages only, and fails: %s',
    async (name) => {
      const content = ZSTD[name];
      for (let length = 5; length < content.length; length += 1) {
        const found = await read(content.subarray(0, length));
        if (!JSON.stringify(found).includes('broken zstd')) {
          // Between two frames there is no telling.
          expect(['twoFrames', 'skippable']).toContain(name);
          continue;
        }
        const bodies = bodiesOf(found);
        expect(bodies).toEqual(two.slice(0, bodies.length));
        expect(found.at(-1)).toMatchObject({ reason: 'broken zstd (unexpected end of file)' });
      }
    },
  );

  test('that ends between two blocks fails', async () => {
    // Without the checksum, which would be missing as well.
    const content = Buffer.from(ZSTD.blocks.subarray(0, -4));
    content.writeUInt8(content.readUInt8(4) & ~4, 4);
    expect(told(await read(content))).toEqual(['message - large']);
    for (let length = 5; length < content.length; length += 1) {
      expect(told(await read(content.subarray(0, length)))).toEqual([
        'failed -: broken zstd (unexpected end of file)',
      ]);
    }
  });

  test('with a block larger than may be fails before it takes memory', async () => {
    const block = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, 0xfb, 0xff, 0xff, 0x30]);
    expect(told(await read(block))).toEqual([
      'failed -: broken zstd (a block larger than its frame allows)',
    ]);
  });

  test('that is broken anywhere is unpacked or told as broken', async () => {
    const watchdog = new Watchdog(50);
    let faults = 0;
    for (const content of [ZSTD.checksum, ZSTD.blocks]) {
      for (let at = 0; at < content.length; at += 1) {
        const changed = Buffer.from(content);
        changed.writeUInt8(changed.readUInt8(at) ^ 0x80, at);
        faults += (await faultOf(changed, watchdog)) === undefined ? 0 : 1;
      }
    }
    expect(faults).toBeGreaterThan(50);
  });

  test('that wants a large window fails, and says so', async () => {
    expect(told(await read(ZSTD.window256))).toEqual([
      'failed -: broken zstd (its window of 256 MiB is larger than 128 MiB)',
    ]);
  });

  test('that claims a content of terabytes in one segment fails', async () => {
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    const [found] = await read(header);
    expect(found).toMatchObject({ kind: 'failed' });
    expect(told(await read(header))[0]).toMatch(/window of 1048576 MiB/);
  });

  test('of one message that is over-size is told with its size', async () => {
    const [found] = await read(ZSTD.zeros);
    expect(found).toMatchObject({ kind: 'failed' });
    expect(told(await read(ZSTD.zeros))[0]).toMatch(/over-size: 83886\d\d bytes/);
  });

  test('that keeps the decoder busy for ever is given up', async () => {
    // A table of weights in which one symbol has the whole probability takes no bits.
    const block = Buffer.from('06400108f003000000000001' + '00'.repeat(8), 'hex');
    const size = block.length;
    const frame = Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]),
      Buffer.from([(size << 3) | 5, size >> 5, 0]),
      block,
    ]);
    const unpacked = unzstd(
      inPieces(frame, 100),
      (onOutput) => new Decompress(onOutput),
      new Watchdog(100),
    );
    await expect(unpacked.next()).rejects.toThrow('broken zstd (its decoder was stuck)');
  });
});

/** Why it can't be unpacked; some of these keep the decoder busy, so it gets little time. */
async function faultOf(content: Buffer, watchdog: Watchdog): Promise<string | undefined> {
  try {
    const unpacked = unzstd(
      inPieces(content, 50),
      (onOutput) => new Decompress(onOutput),
      watchdog,
    );
    for await (const piece of unpacked) expect(piece.length).toBeLessThanOrEqual(128 * 1024);
    return undefined;
  } catch (error) {
    if (error instanceof BrokenContents) return error.message;
    throw error;
  }
}

function bodiesOfMbox(): string[] {
  return MBOX.split(/^From \S+ Thu.*\n/m)
    .slice(1)
    .map((each) => each.replace(/\n$/, ''));
}
