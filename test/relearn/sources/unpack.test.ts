import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import type { Found } from '../../../src/relearn/sources/source.ts';
import { needsPrograms } from '../../support/needs.ts';
import { openFilesBelow } from '../../support/open-files.ts';
import {
  bodiesOf,
  breakingOff,
  inPieces,
  mail,
  mboxOf,
  readStdin,
  sourceAt,
  told,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const MESSAGES = [mail('one'), mail('two', 'More text.\n'.repeat(50)), mail('three')];
const TEXT = mboxOf(MESSAGES);

const read = (content: Buffer, piece = 64 * 1024): Promise<Found[]> =>
  readStdin(inPieces(content, piece));

function zstd(content: string | Buffer, ...flags: readonly string[]): Buffer {
  const input = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return spawnSync('zstd', ['-q', '-c', ...flags], { input, maxBuffer: 1e9 }).stdout;
}

describe.each([
  ['gzip', (content: string | Buffer) => gzipSync(content), 5, {}],
  // A process for each of them.
  ['zstd', zstd, 40, needsPrograms('zstd')],
] as const)('%s', (name, pack, step, needs) => {
  const packed = Object.keys(needs).length === 0 ? pack(TEXT) : Buffer.alloc(0);

  test('is unpacked, of one part or several, in pieces of any size', needs, async () => {
    const parts = [TEXT.slice(0, 100), TEXT.slice(100, 101), TEXT.slice(101)];
    const content = Buffer.concat(parts.map((each) => pack(each)));
    for (const piece of [1, 7, 65_536]) {
      expect(bodiesOf(await read(packed, piece))).toEqual(MESSAGES);
      expect(bodiesOf(await read(content, piece))).toEqual(MESSAGES);
    }
  });

  test('that is cut, or followed by something else, fails', needs, async () => {
    const found = await read(Buffer.concat([packed, Buffer.from('garbage')]));
    expect(told(found)).toContainEqual(
      expect.stringMatching(/broken (gzip \(incorrect header check|zstd \(unsupported format)\)$/),
    );
    for (let length = 11; length < packed.length; length += step) {
      const found = await read(packed.subarray(0, length));
      const bodies = bodiesOf(found);
      expect(bodies).toEqual(MESSAGES.slice(0, bodies.length));
      expect(told(found.filter(({ kind }) => kind !== 'message'))).toEqual([
        expect.stringMatching(
          /^failed -: broken (gzip \(unexpected end of file|zstd \(.*premature end)\)$/,
        ),
      ]);
    }
  });

  test('that breaks in the middle gives what came before', needs, async () => {
    const good = Array.from({ length: 10_000 }, (_, index) =>
      mail(`number ${index}`, `${Math.sin(index)}\n`.repeat(10)),
    );
    const content = pack(mboxOf(good));
    content.fill(0xff, Math.floor(content.length * 0.9), Math.floor(content.length * 0.95));
    const found = await read(content);
    expect(found.at(-1)).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining(`broken ${name} (`) as string,
    });
    const bodies = bodiesOf(found);
    expect(bodies.length).toBeGreaterThan(5_000);
    // What is broken unpacks for a while to something else.
    expect(bodies.slice(0, 5_000)).toEqual(good.slice(0, 5_000));
  });

  test('whose source breaks off fails, also where a part ends', needs, async () => {
    expect(told(await readStdin(breakingOff(packed)))).toContain('failed -: EIO: i/o error');
  });
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

  const MAGIC = Buffer.from('28b52ffd', 'hex');

  test('without the program fails with the cure', async () => {
    vi.stubEnv('PATH', '/nowhere');
    const found = await read(MAGIC);
    vi.unstubAllEnvs();
    expect(told(found)).toEqual([
      'failed -: compressed with zstd, and the program zstd is missing: apt install zstd',
    ]);
  });

  test('whose reader leaves leaves no process and no descriptor', async () => {
    const folder = temporaryFolder();
    const pid = `${folder}/pid`;
    const script = `#!/bin/sh\necho $$ >${pid}\nprintf '${TEXT}'\nhead -c 200000 /dev/zero\nexec sleep 1000\n`;
    writeFileSync(`${folder}/zstd`, script, { mode: 0o755 });
    writeFileSync(`${folder}/box`, MAGIC);
    vi.stubEnv('PATH', `${folder}:${process.env['PATH'] ?? ''}`);
    const reading = sourceAt(`${folder}/box`).read();
    await reading.next();
    vi.unstubAllEnvs();
    const isAlive = (): boolean => existsSync(`/proc/${readFileSync(pid, 'utf8').trim()}/cwd`);
    expect(isAlive()).toBe(true);
    await reading.return();
    await expect.poll(isAlive).toBe(false);
    await expect.poll(() => openFilesBelow(folder)).toEqual([]);
  });
});
