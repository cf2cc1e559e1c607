import { appendFileSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found, ReadingOptions } from '../../../src/relearn/sources/source.ts';
import { Fifo } from '../../support/fifo.ts';
import {
  bodiesOf,
  inPieces,
  mail,
  MAX_BYTES,
  mboxOf,
  putIn,
  readAll,
  readingOptions,
  told,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const never = new AbortController().signal;
const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, content: string | Buffer): string {
  return putIn(folder, name, content);
}

function sourceAt(path = folder, changes: Partial<ReadingOptions> = {}): PathSource {
  return new PathSource(path, 'spam', readingOptions(changes));
}

async function lines(path = folder, changes: Partial<ReadingOptions> = {}): Promise<string[]> {
  return told(await readAll(sourceAt(path, changes)), folder);
}

const overSize = `over-size: larger than ${MAX_BYTES} bytes (LEARN_MAX_BYTES)`;
const tooLarge = mail('one', 'x'.repeat(MAX_BYTES));
const [one, two, three] = [mail('one'), mail('two', '>From x\nFrom y\n'), mail('three')];

describe('a path that names a file', () => {
  test.each<[string, string | Buffer, string[]]>([
    ['a message', one, ['message a one']],
    [
      'an mbox',
      mboxOf([one, two, three]),
      ['message a one', 'message a#2 two', 'message a#3 three'],
    ],
    ['a packed message', gzipSync(one), ['message a one']],
    ['a packed mbox', gzipSync(mboxOf([one, two])), ['message a one', 'message a#2 two']],
    [
      'an mbox whose first message is broken',
      `${FROM}From b@example.org\nno header\n\n${FROM}${two}`,
      ['message a#2 two', 'skipped a: not a mail message'],
    ],
    ['an mbox of which nothing is mail', `${FROM}no header\n`, ['failed a: not a mail message']],
    ['nothing', '', ['failed a: empty']],
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
    expect(await readAll(sourceAt(place))).toEqual([
      { kind: 'message', place, folder: place, body: Buffer.from(one) },
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
    const many = Array.from({ length: 300 }, (_, index) =>
      mail(`number ${index}`, `Line ${index}.\n`.repeat(1_000)),
    );
    for (const [content, bodies] of [
      [large, [large]],
      [mboxOf([large]), [large]],
      [mboxOf(many), many],
      [gzipSync(mboxOf(many)), many],
    ] as const) {
      const source = sourceAt(put('a', content), { maxBytes: 3_000_000 });
      expect(bodiesOf(await readAll(source))).toEqual(bodies);
    }
  });

  test('fails when it is not there, and at once when it is a FIFO', async () => {
    await Fifo.make(`${folder}/fifo`);
    expect(await lines(`${folder}/gone`)).toEqual([
      'failed gone: ENOENT: no such file or directory',
    ]);
    expect(await lines(`${folder}/fifo`)).toEqual(['failed fifo: not a regular file']);
  });

  test('may be a symlink, and is placed by its absolute path', async () => {
    symlinkSync(put('a', one), `${folder}/link`);
    expect(await lines(`${folder}/link`)).toEqual(['message link one']);
    expect(await lines(relative('.', `${folder}/a`))).toEqual(['message a one']);
  });
});

describe('a folder', () => {
  test('is read with the folders in it, also when it is a symlink itself', async () => {
    put('real/a', one);
    put('real/x/y/b', two);
    put('real/x/box', mboxOf([one, three]));
    put('real/.Junk/c', one);
    symlinkSync(`${folder}/real`, `${folder}/link`);
    const source = sourceAt(`${folder}/link`);
    await source.count(never);
    expect(source.expected).toBe(4);
    expect(told(await readAll(source), `${folder}/link`)).toEqual([
      'message .Junk/c one',
      'message a one',
      'message x/box one',
      'message x/box#2 three',
      'message x/y/b two',
    ]);
    expect(source.expected).toBe(5);
  });

  test('is read past everything that is no message', async () => {
    put('.hidden', one);
    put('empty', '');
    put('notes.txt', 'Some notes.\n');
    put('z', one);
    symlinkSync(`${folder}/z`, `${folder}/link`);
    symlinkSync(folder, `${folder}/loop`);
    const fifo = await Fifo.make(`${folder}/fifo`);
    const server = createServer().listen(`${folder}/socket`);
    onTestFinished(() => void server.close());
    expect(await lines()).toEqual([
      'message z one',
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
      writeFileSync(Buffer.from(`${folder}/${name}`, 'latin1'), one);
    }
    mkdirSync(Buffer.from(`${folder}/f\u00e9`, 'latin1'));
    writeFileSync(Buffer.from(`${folder}/f\u00e9/\u00e9`, 'latin1'), two);
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
    for (const name of ['a', 'b']) put(name, one);
    const found: Found[] = [];
    for await (const each of sourceAt().read()) {
      if (found.push(each) > 1) break;
      unlinkSync(each.place.endsWith('a') ? `${folder}/b` : `${folder}/a`);
    }
    expect(found[1]).toMatchObject({ kind: 'failed', reason: 'ENOENT: no such file or directory' });
  });

  test('is read as far as it is asked for, to a sane depth', async () => {
    put(`${'d/'.repeat(150)}a`, mail('deep'));
    put('z', one);
    expect(await lines()).toEqual([
      expect.stringMatching(/^failed (d\/)+d: more than 100 folders deep$/),
      'message z one',
    ]);
    for (let index = 0; index < 100; index += 1) put(`in/${index}`, one);
    const asked: string[] = [];
    const isDone = (place: string): boolean => asked.push(place) === 0;
    const reading = sourceAt(`${folder}/in`, { isDone }).read();
    await reading.next();
    await reading.next();
    expect(asked).toHaveLength(2);
    await reading.return();
  });
});

test('a Maildir is read without its tmp, its own files and what is trashed', async () => {
  for (const name of ['cur/2:2,ST', 'cur/3!2,T', 'cur/4;2,FTa']) put(name, mail('trashed'));
  for (const name of ['tmp/6', '.Lists/tmp/9', 'subscriptions']) put(name, mail('no message'));
  for (const name of ['cur/1:2,S', 'new/5', '.Lists/cur/7:2,t', '.Lists/new/9', 'own/tmp/8']) put(name, one);
  expect(await lines()).toEqual([
    ...['message .Lists/cur/7:2,t one', 'message .Lists/new/9 one'],
    'message cur/1:2,S one',
    'message new/5 one',
    'message own/tmp/8 one',
    'passed cur/2:2,ST: in the trash (Maildir flag T)',
    'passed cur/3!2,T: in the trash (Maildir flag T)',
    'passed cur/4;2,FTa: in the trash (Maildir flag T)',
  ]);
});

describe('a source of which nothing is mail', () => {
  test('fails', async () => {
    for (const [name, content] of [
      ['empty', ''],
      ['text', 'Text.\n'],
    ] as const) {
      put(`${name}/in/a`, content);
      expect(await lines(`${folder}/${name}`)).toContain(`failed ${name}: nothing of it is mail`);
    }
    mkdirSync(`${folder}/link`);
    symlinkSync('/etc/hostname', `${folder}/link/a`);
    expect(await lines(`${folder}/link`)).toContain('failed link: nothing of it is mail');
  });

  test('is none that is empty, or whose messages are passed over or done before', async () => {
    put('.gitkeep', '');
    for (const part of ['cur', 'new']) mkdirSync(`${folder}/M/${part}`, { recursive: true });
    put('M/dovecot-uidlist', '3 V1 N1\n');
    expect(await lines()).toEqual([]);
    put('M/cur/1:2,T', one);
    expect(await lines()).toHaveLength(1);
    put('N/2', one);
    expect(await lines(`${folder}/N`, { isDone: () => true })).toEqual(['done N/2']);
  });
});

test('what was done before is told and not read again, message by message', async () => {
  const before = new Set(['/a', '/box', '/box#3', '/gz', '/single', '/large']);
  put('a', one);
  put('b', two);
  put('box', mboxOf([one, two, three]));
  put('gz', gzipSync(mboxOf([one, two])));
  put('single', mboxOf([one]));
  put('large', tooLarge);
  const isDone = (place: string): boolean => before.has(place.slice(folder.length));
  expect(await lines(folder, { isDone })).toEqual([
    ...['done a', 'done box', 'done box#3', 'done gz', 'done large', 'done single'],
    ...['message b two', 'message box#2 two', 'message gz#2 two'],
  ]);
});

describe('standard input', () => {
  test('is a message, an mbox, or empty', async () => {
    for (const [content, expected] of [
      [one, ['message - one']],
      [mboxOf([one, two]), ['message - one', 'message -#2 two']],
      ['', ['failed -: empty']],
    ] as const) {
      expect(await lines('-', { stdin: () => inPieces(content, 3) })).toEqual(expected);
    }
  });

  test('that breaks off gives the whole messages before, and fails', async () => {
    async function* stdin(): AsyncGenerator<Buffer, void, undefined> {
      yield* inPieces(mboxOf([one, two]), 10);
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    }
    expect(await lines('-', { stdin })).toEqual(['failed -: EIO: i/o error', 'message - one']);
  });

  test('is not opened before it is read', async () => {
    const source = sourceAt('-');
    await source.count(never);
    expect([source.expected, source.name]).toEqual([undefined, 'standard input']);
  });
});

describe('the expected number of messages', () => {
  test('of a folder is that of its files, unless the counting is ended', async () => {
    put('a', one);
    put('b', 'no mail');
    put('c/box', mboxOf([one, two, three]));
    put('.hidden', one);
    const source = sourceAt();
    await source.count(AbortSignal.abort());
    expect(source.expected).toBeUndefined();
    await source.count(never);
    expect(source.expected).toBe(3);
    await readAll(source);
    expect(source.expected).toBe(4);
    await sourceAt(`${folder}/gone`).count(never);
  });

  test('of an mbox is told by the part that was read', async () => {
    const messages = Array.from({ length: 1_000 }, (_, index) =>
      mail(`number ${index}`, 'Some text.\n'.repeat(100)),
    );
    const source = sourceAt(put('box', mboxOf(messages)));
    const estimates: number[] = [];
    for await (const found of source.read()) {
      expect(found.kind).toBe('message');
      estimates.push(source.expected ?? 0);
    }
    expect(Math.min(...estimates)).toBeGreaterThan(900);
    expect(Math.max(...estimates)).toBeLessThan(1_100);
    expect(source.expected).toBe(1_000);
  });

  test('of a file that grew while it was read is still right', async () => {
    const source = sourceAt(put('a', one));
    const reading = source.read();
    appendFileSync(`${folder}/a`, 'More.\n');
    expect((await reading.next()).value).toMatchObject({ body: Buffer.from(`${one}More.\n`) });
    await reading.next();
    expect(source.expected).toBe(1);
  });
});
