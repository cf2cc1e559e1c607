import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import { gunzip, unzstd } from '../../../src/relearn/sources/unpack.ts';
import { needsPrograms } from '../../support/needs.ts';
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
import { temporaryFolder } from '../../support/temporary.ts';

const MESSAGES = [mail('one'), mail('two', 'More text.\n'.repeat(50)), mail('three')];
const TEXT = mboxOf(MESSAGES);
const TAR = Buffer.alloc(10_240);
TAR.write('etc/passwd\u00000000644');

async function read(content: Buffer, piece = 64 * 1024): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, piece);
  return readAll(new PathSource('-', 'spam', readingOptions({ stdin })));
}

function zstd(content: string | Buffer, ...flags: readonly string[]): Buffer {
  const input = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return spawnSync('zstd', ['-q', '-c', ...flags], { input, maxBuffer: 1e9 }).stdout;
}

/** Many messages that don't compress well. */
function manyMessages(count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    mail(`number ${index}`, `${Math.sin(index)}\n`.repeat(10)),
  );
}

describe.each([
  ['gzip', (content: string | Buffer) => gzipSync(content), 1, {}],
  // A process for each of them.
  ['zstd', zstd, 40, needsPrograms('zstd')],
] as const)('%s', (name, pack, step, needs) => {
  const packed = Object.keys(needs).length === 0 ? pack(TEXT) : Buffer.alloc(0);

  test.each([1, 7, 65_536])('is unpacked, in pieces of %i bytes', needs, async (piece) => {
    expect(bodiesOf(await read(packed, piece))).toEqual(MESSAGES);
  });

  test('of several parts is one content', needs, async () => {
    const parts = [TEXT.slice(0, 100), TEXT.slice(100, 101), TEXT.slice(101)];
    const content = Buffer.concat(parts.map((each) => pack(each)));
    for (const piece of [1, 65_536]) {
      expect(bodiesOf(await read(content, piece))).toEqual(MESSAGES);
    }
  });

  test('that ends early gives its whole messages, and fails', needs, async () => {
    for (let length = 11; length < packed.length; length += step) {
      const found = await read(packed.subarray(0, length));
      const bodies = bodiesOf(found);
      expect(bodies).toEqual(MESSAGES.slice(0, bodies.length));
      const [fault, ...others] = found.filter(({ kind }) => kind !== 'message');
      expect(others).toEqual([]);
      expect(fault).toMatchObject({ kind: 'failed', place: '-' });
      expect(told(found)).toContainEqual(
        expect.stringMatching(/broken (gzip \(unexpected end of file|zstd \(.*premature end)\)$/),
      );
    }
    expect(bodiesOf(await read(packed.subarray(0, -1)))).toEqual(MESSAGES.slice(0, 2));
  });

  test('that is followed by something else fails', needs, async () => {
    const found = await read(Buffer.concat([packed, Buffer.from('garbage')]));
    expect(told(found)).toContainEqual(
      expect.stringMatching(/broken (gzip \(incorrect header check|zstd \(unsupported format)\)$/),
    );
  });

  test('that breaks in the middle gives what came before', needs, async () => {
    const good = manyMessages(10_000);
    const content = pack(mboxOf(good));
    content.fill(0xff, Math.floor(content.length * 0.9), Math.floor(content.length * 0.95));
    const found = await read(content);
    expect(found.at(-1)).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining(`broken ${name} (`) as string,
    });
    const bodies = bodiesOf(found);
    expect(bodies.length).toBeGreaterThan(5_000);
    expect(bodies.slice(0, 5_000)).toEqual(good.slice(0, 5_000));
  });

  test('in itself is not unpacked again', needs, async () => {
    expect(told(await read(pack(packed)))).toEqual([
      'failed -: packed twice: zcat FILE | kopano-learnd relearn --spam -',
    ]);
  });

  test('of a tarball, of nothing and of text is no mail', needs, async () => {
    for (const [content, reason] of [
      [TAR, 'not a mail message'],
      ['', 'empty'],
      ['text', 'not a mail message'],
    ] as const) {
      expect(told(await read(pack(content)))).toEqual([`failed -: ${reason}`]);
    }
  });

  test('of one message that is over-size is told with its size', needs, async () => {
    const message = mail('one', 'x'.repeat(5_000_000));
    expect(told(await read(pack(message)))).toEqual([
      `failed -: over-size: ${message.length} bytes, LEARN_MAX_BYTES is ${MAX_BYTES}`,
    ]);
  });
});

test('a reader that rests gets all of a gzip that breaks meanwhile', async () => {
  // A little more than the 16 KiB that come in one piece: the rest waits in the stream.
  const text = manyMessages(80).join('').slice(0, 20_000);
  const packed = gzipSync(text);
  async function* chunks(): AsyncGenerator<Buffer, void, undefined> {
    yield await Promise.resolve(packed);
    yield Buffer.from('garbage');
  }
  const unpacked = gunzip(chunks());
  let all = String((await unpacked.next()).value);
  await setTimeout(200);
  const rest = async (): Promise<void> => {
    for await (const piece of unpacked) all += piece.toString();
  };
  await expect(rest()).rejects.toThrow('broken gzip (incorrect header check)');
  expect(all).toBe(text);
});

describe('zstd', () => {
  test('with skippable frames around others is unpacked', needsPrograms('zstd'), async () => {
    const skippable = Buffer.from('532a4d1803000000616263', 'hex');
    const [first, second] = [zstd(TEXT.slice(0, 100)), zstd(TEXT.slice(100))];
    const content = Buffer.concat([skippable, first, skippable, second, skippable]);
    expect(bodiesOf(await read(content))).toEqual(MESSAGES);
  });

  test('that wants more than 128 MiB of memory fails', needsPrograms('zstd'), async () => {
    const content = zstd(Buffer.alloc(300_000_000, 'x\n'), '--long=28');
    expect(told(await read(content))).toEqual([
      expect.stringMatching(/^failed -: broken zstd \(.*too much memory/),
    ]);
  });

  test('without the program fails with the cure', async () => {
    const unpacked = unzstd(inPieces('any', 1), '/nowhere/zstd');
    await expect(unpacked.next()).rejects.toThrow('zstd is missing: apt install zstd');
  });

  test('whose reader leaves, or whose content breaks off, leaves no process', async () => {
    const program = `${temporaryFolder()}/program`;
    writeFileSync(program, `#!/bin/sh\necho $$ >${program}.pid\necho hello\nexec sleep 1000\n`, {
      mode: 0o755,
    });
    const isAlive = (): boolean =>
      existsSync(`/proc/${readFileSync(`${program}.pid`, 'utf8').trim()}/cwd`);
    const leaving = unzstd(inPieces('any', 1), program);
    await leaving.next();
    expect(isAlive()).toBe(true);
    await leaving.return();
    await expect.poll(isAlive).toBe(false);

    async function* broken(): AsyncGenerator<Buffer, void, undefined> {
      yield await Promise.resolve(Buffer.from('any'));
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    }
    const pieces: string[] = [];
    const breaking = async (): Promise<void> => {
      for await (const piece of unzstd(broken(), program)) pieces.push(piece.toString());
    };
    await expect(breaking()).rejects.toThrow('EIO: i/o error');
    await expect.poll(isAlive).toBe(false);
  });

  test('leaves no descriptor open', needsPrograms('zstd'), async () => {
    const path = `${temporaryFolder()}/box.zst`;
    writeFileSync(path, zstd(TEXT));
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let count = 0; count < 5; count += 1) {
      const reading = new PathSource(path, 'spam', readingOptions()).read();
      expect((await reading.next()).value).toMatchObject({ kind: 'message' });
      await reading.return();
    }
    await expect.poll(open).toBeLessThan(before + 5);
  });
});
