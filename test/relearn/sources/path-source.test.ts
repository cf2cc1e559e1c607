import {
  appendFileSync,
  linkSync,
  mkdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import { Fifo } from '../../support/fifo.ts';
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

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, content: string | Buffer): string {
  const path = `${folder}/${name}`;
  mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
  writeFileSync(path, content, typeof content === 'string' ? 'latin1' : undefined);
  return path;
}

async function read(
  path = folder,
  changes: Parameters<typeof readingOptions>[0] = {},
): Promise<Found[]> {
  return readAll(new PathSource(path, 'spam', readingOptions(changes)));
}

async function lines(path = folder): Promise<string[]> {
  return told(await read(path), folder);
}

describe('a path that names a file', () => {
  test('is a message', async () => {
    const path = put('a.eml', mail('one'));
    expect(await read(path)).toEqual([
      { kind: 'message', place: path, folder: path, body: Buffer.from(mail('one')) },
    ]);
  });

  test('is a message without its From_ line and quotes', async () => {
    const body = mail('one', 'From here\n>From there\n\n');
    put('in/a', mboxOf([body]));
    const found = await read(`${folder}/in`);
    expect(bodiesOf(found)).toEqual([body]);
    // It lies in a folder as any other message; several lie in the mbox.
    expect(found).toMatchObject([{ folder: `${folder}/in` }]);
  });

  test('is an mbox', async () => {
    const messages = [mail('one'), mail('two', '>From x\nFrom y\n'), mail('three')];
    const found = await read(put('box', mboxOf(messages)));
    expect(bodiesOf(found)).toEqual(messages);
    expect(found.map(({ place }) => place.slice(folder.length))).toEqual([
      '/box',
      '/box#2',
      '/box#3',
    ]);
  });

  test.each([
    ['gzip', gzipSync(mail('one')), ['message a one']],
    [
      'gzip of an mbox',
      gzipSync(mboxOf([mail('one'), mail('two')])),
      ['message a one', 'message a#2 two'],
    ],
  ])('may be packed: %s', async (_name, content, expected) => {
    expect(await lines(put('a', content))).toEqual(expected);
  });

  test('is an mbox although its first message is broken', async () => {
    const from = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
    put('a.mbox', `${from}From b@example.org\nno header\n\n${from}${mail('two')}`);
    put('b.mbox', `${from}no header\n`);
    expect((await lines()).sort()).toEqual([
      'message a.mbox#2 two',
      'skipped a.mbox: not a mail message',
      'skipped b.mbox: not a mail message',
    ]);
  });

  test('gives a large mbox, packed or not, as it was', async () => {
    const messages = Array.from({ length: 300 }, (_, index) =>
      mail(`number ${index}`, `Line ${index}.\n`.repeat(1_000)),
    );
    const content = mboxOf(messages);
    expect(bodiesOf(await read(put('plain', content)))).toEqual(messages);
    expect(bodiesOf(await read(put('packed', gzipSync(content))))).toEqual(messages);
  });

  test('gives a large message as it was', async () => {
    const body = mail('one', `${'x'.repeat(70)}\n`.repeat(40_000));
    expect(bodiesOf(await read(put('a', body), { maxBytes: 3_000_000 }))).toEqual([body]);
    const from = mboxOf([body]);
    expect(bodiesOf(await read(put('b', from), { maxBytes: 3_000_000 }))).toEqual([body]);
  });

  test.each([
    ['nothing', '', 'empty'],
    ['a single byte', 'x', 'not a mail message'],
    ['a picture', '\u0089PNG\r\n\u001a\n', 'not a mail message'],
    [
      'a database',
      `\u0000\u0000\u0000\u0000b1\u0005\u0000${'\u0000'.repeat(5_000)}`,
      'not a mail message',
    ],
    ['a large text', 'Some text.\n'.repeat(200_000), 'not a mail message'],
  ])('fails when it holds %s', async (_name, content, reason) => {
    expect(await lines(put('a', content))).toEqual([`failed a: ${reason}`]);
  });

  test('fails when the message is over-size', async () => {
    const small = mail('one', 'x'.repeat(MAX_BYTES));
    const large = mail('one', 'x'.repeat(3 * MAX_BYTES));
    expect(await lines(put('small', small))).toEqual([
      `failed small: over-size: ${small.length} bytes, LEARN_MAX_BYTES is ${MAX_BYTES}`,
    ]);
    expect(await lines(put('large', large))).toEqual([
      `failed large: over-size: ${large.length} bytes, LEARN_MAX_BYTES is ${MAX_BYTES}`,
    ]);
  });

  test('goes on after a message of an mbox that is over-size', async () => {
    const messages = [mail('one'), mail('two', 'x\n'.repeat(MAX_BYTES)), mail('three')];
    expect(await lines(put('box', mboxOf(messages)))).toEqual([
      expect.stringMatching(/^failed box#2: over-size: 20000\d\d bytes/),
      'message box one',
      'message box#3 three',
    ]);
  });

  test('that is not there fails with the plain words', async () => {
    expect(await lines(`${folder}/gone`)).toEqual([
      'failed gone: ENOENT: no such file or directory',
    ]);
  });

  test('may be a symlink', async () => {
    symlinkSync(put('a', mail('one')), `${folder}/link`);
    expect(await lines(`${folder}/link`)).toEqual(['message link one']);
  });

  test('is placed by its absolute path, however it is named', async () => {
    const path = put('a', mail('one'));
    expect(await lines(relative('.', path))).toEqual(['message a one']);
  });

  test('that is a FIFO fails and is not waited for', async () => {
    await Fifo.make(`${folder}/fifo`);
    expect(await lines(`${folder}/fifo`)).toEqual(['failed fifo: not a regular file']);
  });
});

describe('a folder', () => {
  test('is read with the folders in it', async () => {
    put('a', mail('one'));
    put('x/y/b', mail('two'));
    put('x/box', mboxOf([mail('three'), mail('four')]));
    put('.Junk/c', mail('five'));
    expect(await lines()).toEqual([
      'message .Junk/c five',
      'message a one',
      'message x/box three',
      'message x/box#2 four',
      'message x/y/b two',
    ]);
  });

  test('that is a symlink itself is read', async () => {
    put('real/a', mail('one'));
    symlinkSync(`${folder}/real`, `${folder}/link`);
    const source = new PathSource(`${folder}/link`, 'spam', readingOptions());
    await source.count(new AbortController().signal);
    expect(source.expected).toBe(1);
    expect(told(await readAll(source), folder)).toEqual(['message link/a one']);
  });

  test('is read past everything that is no message', async () => {
    put('.hidden', mail('hidden'));
    put('empty', '');
    put('notes.txt', 'Some notes.\n');
    put('z', mail('last'));
    symlinkSync(`${folder}/z`, `${folder}/link`);
    symlinkSync(folder, `${folder}/loop`);
    const fifo = await Fifo.make(`${folder}/fifo`);
    const server = createServer().listen(`${folder}/socket`);
    onTestFinished(() => void server.close());
    expect(await lines()).toEqual([
      'message z last',
      'skipped .hidden: its name begins with a dot',
      'skipped empty: empty',
      'skipped fifo: not a regular file',
      'skipped link: a symbolic link, which is not followed',
      'skipped loop: a symbolic link, which is not followed',
      'skipped notes.txt: not a mail message',
      'skipped socket: not a regular file',
    ]);
    expect(await fifo.wasOpened()).toBe(false);
  });

  test('may hold names of any bytes', async () => {
    for (const name of ['\u00fcber', 'new\nline', 'a#2', '100%', '\u00ff\u00fe', 'a b']) {
      writeFileSync(Buffer.from(`${folder}/${name}`, 'latin1'), mail('one'));
    }
    mkdirSync(Buffer.from(`${folder}/f\u00e9`, 'latin1'));
    writeFileSync(Buffer.from(`${folder}/f\u00e9/\u00e9`, 'latin1'), mail('two'));
    expect(await lines()).toEqual([
      'message %FCber one',
      'message %FF%FE one',
      'message 100%25 one',
      'message a b one',
      'message a%232 one',
      'message f%E9/%E9 two',
      'message new%0Aline one',
    ]);
  });

  test('tells what vanished after it was listed', async () => {
    put('a', mail('one'));
    put('b', mail('two'));
    const found: Found[] = [];
    for await (const each of new PathSource(folder, 'spam', readingOptions()).read()) {
      found.push(each);
      if (found.length === 1) unlinkSync(each.place.endsWith('a') ? `${folder}/b` : `${folder}/a`);
    }
    expect(found[1]).toMatchObject({ kind: 'failed', reason: 'vanished' });
  });

  test('that is deeper than sane is told, and the rest is read', async () => {
    put(`${'d/'.repeat(150)}a`, mail('deep'));
    put('z', mail('one'));
    const found = await lines();
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/^failed (d\/)+d: more than 100 folders deep$/);
    expect(found[1]).toBe('message z one');
  });

  test('is read as far as it is asked for, and left alone then', async () => {
    for (let index = 0; index < 100; index += 1) put(`${index}`, mail('one'));
    const asked: string[] = [];
    const isDone = (place: string): boolean => {
      asked.push(place);
      return false;
    };
    const reading = new PathSource(folder, 'spam', readingOptions({ isDone })).read();
    await reading.next();
    await reading.next();
    expect(asked).toHaveLength(2);
    await reading.return();
  });
});

describe('a Maildir', () => {
  test('is read without its tmp, its own files and what is trashed', async () => {
    put('cur/1:2,S', mail('seen'));
    put('cur/2:2,ST', mail('trashed'));
    put('cur/3!2,T', mail('trashed'));
    put('cur/4;2,FTa', mail('trashed'));
    put('new/5', mail('new'));
    put('tmp/6', mail('unfinished'));
    put('dovecot-uidlist', '3 V1 N2 G3\n');
    put('subscriptions', mail('no message'));
    put('.Junk/cur/7:2,', mail('junk'));
    put('.Junk/new/8:2,t', mail('keyword'));
    put('.Junk/tmp/9', mail('unfinished'));
    put('.Junk/maildirfolder', '');
    put('ordinary/tmp/10', mail('in a folder of its own'));
    expect(await lines()).toEqual([
      'message .Junk/cur/7:2, junk',
      'message .Junk/new/8:2,t keyword',
      'message cur/1:2,S seen',
      'message new/5 new',
      'message ordinary/tmp/10 in a folder of its own',
      'passed cur/2:2,ST: in the trash (Maildir flag T)',
      'passed cur/3!2,T: in the trash (Maildir flag T)',
      'passed cur/4;2,FTa: in the trash (Maildir flag T)',
    ]);
  });

  test('knows a trashed message wherever it lies', async () => {
    expect(await lines(put('1:2,T', mail('one')))).toEqual([
      'passed 1:2,T: in the trash (Maildir flag T)',
    ]);
  });
});

describe('what was done before', () => {
  test('is told and not read again, message by message', async () => {
    const before = new Set(['/a', '/box', '/box#3', '/gz', '/single', '/large']);
    put('a', mail('one'));
    put('b', mail('two'));
    put('box', mboxOf([mail('one'), mail('two'), mail('three')]));
    put('gz', gzipSync(mboxOf([mail('one'), mail('two')])));
    put('single', mboxOf([mail('one')]));
    put('large', mail('large', 'x'.repeat(2 * MAX_BYTES)));
    const isDone = (place: string): boolean => before.has(place.slice(folder.length));
    expect(told(await read(folder, { isDone }), folder)).toEqual([
      'done a',
      'done box',
      'done box#3',
      'done gz',
      'done large',
      'done single',
      'message b two',
      'message box#2 two',
      'message gz#2 two',
    ]);
  });
});

describe('standard input', () => {
  async function piped(content: string, size = 1_000): Promise<Found[]> {
    return read('-', { stdin: () => inPieces(content, size) });
  }

  test('is a message or an mbox', async () => {
    expect(told(await piped(mail('one'), 3))).toEqual(['message - one']);
    expect(told(await piped(mboxOf([mail('one'), mail('two')]), 3))).toEqual([
      'message - one',
      'message -#2 two',
    ]);
  });

  test('may be empty, or no mail', async () => {
    expect(told(await piped(''))).toEqual(['failed -: empty']);
    expect(told(await piped('text'))).toEqual(['failed -: not a mail message']);
  });

  test('that breaks off gives the whole messages before, and fails', async () => {
    async function* stdin(): AsyncGenerator<Buffer, void, undefined> {
      yield* inPieces(mboxOf([mail('one'), mail('two')]), 10);
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    }
    expect(told(await read('-', { stdin }))).toEqual(['failed -: EIO: i/o error', 'message - one']);
  });

  test('is not opened before it is read', () => {
    const stdin = (): AsyncIterable<Buffer> => {
      throw new Error('opened');
    };
    const source = new PathSource('-', 'ham', readingOptions({ stdin }));
    expect(source.expected).toBeUndefined();
    expect(source.name).toBe('standard input');
  });
});

describe('the expected number of messages', () => {
  const never = new AbortController().signal;

  test('of a folder is that of its files, and grows exact', async () => {
    put('a', mail('one'));
    put('b', 'no mail');
    put('c/box', mboxOf([mail('one'), mail('two'), mail('three')]));
    put('.hidden', mail('one'));
    const source = new PathSource(folder, 'spam', readingOptions());
    expect(source.expected).toBeUndefined();
    await source.count(never);
    expect(source.expected).toBe(3);
    await readAll(source);
    expect(source.expected).toBe(4);
  });

  test('of an mbox is told by the part that was read', async () => {
    const messages = Array.from({ length: 1_000 }, (_, index) =>
      mail(`number ${index}`, 'Some text.\n'.repeat(100)),
    );
    const source = new PathSource(put('box', mboxOf(messages)), 'spam', readingOptions());
    await source.count(never);
    expect(source.expected).toBeUndefined();
    const estimates: number[] = [];
    for await (const found of source.read()) {
      expect(found.kind).toBe('message');
      estimates.push(source.expected ?? 0);
    }
    expect(Math.min(...estimates)).toBeGreaterThan(900);
    expect(Math.max(...estimates)).toBeLessThan(1_100);
    expect(source.expected).toBe(1_000);
  });

  test('is not counted on after an abort, and never throws', async () => {
    const one = put('one', '');
    for (let index = 0; index < 2_500; index += 1) linkSync(one, `${folder}/${index}`);
    const source = new PathSource(folder, 'spam', readingOptions());
    await source.count(AbortSignal.abort());
    expect(source.expected).toBeUndefined();
    await new PathSource(`${folder}/gone`, 'spam', readingOptions()).count(never);
  });

  test('of a file that grew while it was read is still right', async () => {
    const path = put('a', mail('one'));
    const source = new PathSource(path, 'spam', readingOptions());
    const reading = source.read();
    appendFileSync(path, 'More.\n');
    const next = await reading.next();
    expect(next.value).toMatchObject({ body: Buffer.from(`${mail('one')}More.\n`) });
    await reading.next();
    expect(source.expected).toBe(1);
  });
});
