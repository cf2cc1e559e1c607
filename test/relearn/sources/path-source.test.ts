import { mkdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Found, ReadingOptions } from '../../../src/relearn/sources/source.ts';
import { Fifo } from '../../support/fifo.ts';
import {
  bodiesOf,
  breakingOff,
  inPieces,
  mail,
  MAX_BYTES,
  mboxOf,
  putIn,
  readAll,
  readStdin,
  sourceAt,
  told,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, content: string | Buffer): string {
  return putIn(folder, name, content);
}

async function lines(path = folder, changes: Partial<ReadingOptions> = {}): Promise<string[]> {
  return told(await readAll(sourceAt(path, changes)), folder);
}

const overSize = `over-size: larger than ${MAX_BYTES} bytes (LEARN_MAX_BYTES)`;
const tooLarge = mail('one', 'x'.repeat(MAX_BYTES));
const [one, two, three] = [mail('one'), mail('two', '>From x\nFrom y\n'), mail('three')];

describe('a path that names a file', () => {
  test.each<[string, string | Buffer, string[]]>([
    ['a packed mbox', gzipSync(mboxOf([one, two])), ['message a one', 'message a#2 two']],
    [
      'an mbox whose first message is broken',
      `${FROM}From b@example.org\nno header\n\n${FROM}${two}`,
      ['message a#2 two', 'notMail a: not a mail message'],
    ],
    ['an mbox of which nothing is mail', `${FROM}no header\n`, ['failed a: not a mail message']],
    ['a large text', 'Some text.\n'.repeat(200_000), ['failed a: not a mail message']],
    ['a message that is over-size', tooLarge, [`failed a: ${overSize}`]],
    ['a packed message that is over-size', gzipSync(tooLarge), [`failed a: ${overSize}`]],
    [
      'an mbox with one that is over-size',
      mboxOf([one, tooLarge, three]),
      [`failed a#2: ${overSize}`, 'message a one', 'message a#3 three'],
    ],
  ])('may be %s', async (_name, content, expected) => {
    expect(await lines(put('a', content))).toEqual(expected);
  });

  test('gives a message as it is, without its From_ line and quotes', async () => {
    const place = put('a.eml', one);
    const { mtimeMs } = statSync(place);
    expect(await readAll(sourceAt(place))).toEqual([
      { kind: 'message', place, folder: place, body: Buffer.from(one), mtimeMs },
    ]);
    const body = mail('one', 'From here\n>From there\n\n');
    put('in/a', mboxOf([body]));
    const quoted = await readAll(sourceAt(`${folder}/in`));
    expect(bodiesOf(quoted)).toEqual([body]);
    // A single one lies in its folder as any other message; several lie in the mbox.
    expect(quoted).toMatchObject([{ folder: `${folder}/in` }]);
  });

  test('gives large messages and mboxes, packed or not, as they were', async () => {
    const large = mail('one', `${'x'.repeat(70)}\n`.repeat(40_000));
    const small = Array.from({ length: 300 }, (_, at) => mail('', `${at}\n`.repeat(999)));
    const box = mboxOf([large, ...small]);
    const read = async (content: string | Buffer): Promise<string[]> =>
      bodiesOf(await readAll(sourceAt(put('a', content), { maxBytes: 3_000_000 })));
    for (const content of [large, gzipSync(large)]) expect(await read(content)).toEqual([large]);
    for (const content of [box, gzipSync(box)]) {
      expect(await read(content)).toEqual([large, ...small]);
    }
  });

  test('is named in full, however long its path is', () => {
    const path = `/${'folder/'.repeat(60)}a.eml`;
    expect(sourceAt(path).name).toBe(path);
  });

  test('is placed by its absolute path, may be a symlink, and no FIFO', async () => {
    const fifo = `${folder}/fifo`;
    await Fifo.make(fifo);
    expect(await lines(fifo)).toEqual(['failed fifo: a pipe: pipe it in, and name it -']);
    expect((await lines(`${folder}/x`))[0]).toBe('failed x: ENOENT: no such file or directory');
    symlinkSync(put('a', one), `${folder}/link`);
    expect(await lines(relative('.', `${folder}/link`))).toEqual(['message link one']);
  });
});

describe('a folder', () => {
  test('is read with the folders in it, also when it is a symlink itself', async () => {
    for (const name of ['real/a', 'real/x/y/b', 'real/.Junk/c']) put(name, one);
    put('real/x/box', mboxOf([one, three]));
    symlinkSync(`${folder}/real`, `${folder}/link`);
    expect(await lines(`${folder}/link`)).toEqual([
      ...['message link/.Junk/c one', 'message link/a one', 'message link/x/box one'],
      ...['message link/x/box#2 three', 'message link/x/y/b one'],
    ]);
  });

  test('is read past everything that is no message', async () => {
    for (const name of ['.hidden', 'z']) put(name, one);
    put('notes.txt', 'Some notes.\n');
    symlinkSync(`${folder}/z`, `${folder}/link`);
    symlinkSync(folder, `${folder}/loop`);
    const fifo = await Fifo.make(`${folder}/fifo`);
    const server = createServer().listen(`${folder}/socket`);
    onTestFinished(() => void server.close());
    expect(await lines()).toEqual([
      'message z one',
      'notMail fifo: not a regular file',
      'notMail link: a symbolic link, which is not followed',
      'notMail loop: a symbolic link, which is not followed',
      'notMail notes.txt: not a mail message',
      'notMail socket: not a regular file',
    ]);
    expect(await fifo.wasOpened()).toBe(false);
  });

  test('may hold names of any bytes', async () => {
    mkdirSync(Buffer.from(`${folder}/f\u00e9`, 'latin1'));
    for (const name of ['\u00fc', 'new\nline', 'a#2', '100%', 'a b', 'f\u00e9/\u00e9']) {
      writeFileSync(Buffer.from(`${folder}/${name}`, 'latin1'), one);
    }
    expect(
      (await readAll(sourceAt(folder))).map(({ place }) => place.slice(folder.length)).sort(),
    ).toEqual(['/%FC', '/100%25', '/a b', '/a%232', '/f%E9/%E9', '/new%0Aline']);
  });

  test('tells what vanished after it was listed', async () => {
    for (const name of ['a', 'b']) put(name, one);
    const reading = sourceAt(folder).read();
    await reading.next();
    for (const name of ['a', 'b']) unlinkSync(`${folder}/${name}`);
    expect((await reading.next()).value).toMatchObject({ kind: 'failed' });
    await reading.return();
  });

  test('is read to a sane depth, and no further than it is asked for', async () => {
    put(`${'d/'.repeat(150)}a`, mail('deep'));
    for (let index = 0; index < 9; index += 1) put(`z${index}`, one);
    const asked: string[] = [];
    const isDone = (place: string): boolean => asked.push(place) === 0;
    const found: Found[] = [];
    for await (const each of sourceAt(folder, { isDone }).read()) {
      found.push(each);
      expect(asked).toHaveLength(found.filter(({ kind }) => kind === 'message').length);
    }
    expect(told(found)[0]).toMatch(/^failed .*(\/d)+: more than 100 folders deep$/);
    expect(asked).toHaveLength(9);
  });
});

test('a Maildir is read without its tmp, its own files and what is trashed', async () => {
  for (const name of ['cur/2:2,ST', 'cur/3!2,T', 'cur/4;2,FTa']) put(name, mail('trashed'));
  for (const name of ['tmp/6', '.Lists/tmp/9', 'subscriptions']) put(name, mail('no message'));
  for (const name of ['cur/1:2,S', 'new/5', '.Lists/cur/7:2,t', '.Lists/new/9', 'own/tmp/8'])
    put(name, one);
  const trashed = 'in the trash (Maildir flag T)';
  expect(await lines()).toEqual([
    ...['message .Lists/cur/7:2,t one', 'message .Lists/new/9 one', 'message cur/1:2,S one'],
    ...['message new/5 one', 'message own/tmp/8 one', `passedOver cur/2:2,ST: ${trashed}`],
    ...[`passedOver cur/3!2,T: ${trashed}`, `passedOver cur/4;2,FTa: ${trashed}`],
  ]);
});

test('a folder of MH is read without what was deleted, or moved to another one', async () => {
  for (const name of ['1', ',2', ',3.eml']) put(name, one);
  const gone = 'deleted or moved (comma of MH)';
  expect(await lines()).toEqual(['message ,3.eml one', 'message 1 one', `passedOver ,2: ${gone}`]);
});

test('a source of which nothing is mail fails; an empty folder does not', async () => {
  put('empty/a', '');
  put('text/in/a', 'Text.\n');
  mkdirSync(`${folder}/link`);
  symlinkSync('/etc/hostname', `${folder}/link/a`);
  for (const name of ['empty', 'text', 'link']) {
    expect(await lines(`${folder}/${name}`)).toContain(`failed ${name}: nothing of it is mail`);
  }
  for (const name of ['M/.gitkeep', 'M/.Lists/cur/.x', 'M/.Lists/new/.x']) put(name, one);
  put('M/.Lists/dovecot-uidlist', '3 V1 N1\n');
  expect(await lines(`${folder}/M`)).toEqual([]);
  put('M/.Lists/cur/1:2,T', one);
  expect(await lines(`${folder}/M`)).toHaveLength(1);
});

test('what was done before is told and not read again, message by message', async () => {
  const before = new Set(['a', 'box', 'box#3', 'gz', 'large'].map((name) => `${folder}/${name}`));
  for (const name of ['a', 'b']) put(name, one);
  put('box', mboxOf([one, two, three]));
  put('gz', gzipSync(mboxOf([one, two])));
  put('large', tooLarge);
  expect(await lines(folder, { isDone: (place) => before.has(place) })).toEqual([
    ...['doneBefore a', 'doneBefore box', 'doneBefore box#3', 'doneBefore gz', 'doneBefore large'],
    ...['message b one', 'message box#2 two', 'message gz#2 two'],
  ]);
});

test('standard input may break off: whole messages before are read, and it fails', async () => {
  const found = await readStdin(breakingOff(mboxOf([one, two])));
  expect(told(found)).toEqual(['failed -: EIO: i/o error', 'message - one']);
  expect(told(await readStdin(inPieces('', 1)))).toEqual(['failed -: empty']);
});

describe('the expected number of messages', () => {
  test('of a folder is that of its files, unless the counting is ended', async () => {
    put('a', one);
    put('b', 'no mail');
    put('c/box', mboxOf([one, two, three]));
    put('.hidden', one);
    const source = sourceAt(folder);
    await source.count(AbortSignal.abort());
    expect(source.expected).toBeUndefined();
    await source.count(new AbortController().signal);
    expect(source.expected).toBe(3);
    await readAll(source);
    expect(source.expected).toBe(4);
  });

  test('of an mbox is told by the part that was read', async () => {
    const message = mail('one', 'Some text.\n'.repeat(100));
    const source = sourceAt(put('box', mboxOf(Array<string>(1_000).fill(message))));
    const estimates: number[] = [];
    for await (const { kind } of source.read()) {
      if (kind === 'message') estimates.push(source.expected ?? 0);
    }
    expect(Math.min(...estimates)).toBeGreaterThan(900);
    expect(Math.max(...estimates)).toBeLessThan(1_100);
    expect(source.expected).toBe(1_000);
  });
});
