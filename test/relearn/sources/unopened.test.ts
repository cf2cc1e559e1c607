import { writeFileSync } from 'node:fs';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import { inPieces, mail, readAll, readingOptions, told } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const OLE = '\u00d0\u00cf\u0011\u00e0\u00a1\u00b1\u001a\u00e1';

/** A tar archive's first block. */
function tar(): Buffer {
  const block = Buffer.alloc(1_024);
  block.write('Maildir/cur/1');
  block.write('ustar', 257);
  return block;
}

const DOVEADM = 'doveadm fetch -u USER "uid text" mailbox FOLDER | kopano-learnd relearn --ham -';

// The first bytes of the first ones are what Dovecot 2.3.19 and 2.4.1 wrote.
const CONTENTS: readonly (readonly [string, Buffer, string])[] = [
  [
    'lz4 of Dovecot',
    latin1(
      'Dovecot-LZ4\r*\u009b\u00c5\0\u0001\0\0\0\0\u0003\u00b9\u00f4-Return-Path: <a@x>\nReceived: from b\nSubject: c\n',
    ),
    DOVEADM,
  ],
  ['mail_crypt', latin1('CRYPTED\u0003\u0007\u0002\0\0\0'), DOVEADM],
  [
    'sdbox and mdbox',
    latin1('2 M1e C6b0bdca5\n\u0001\u0002N          0000000000000020\nFrom: a@x\n'),
    DOVEADM,
  ],
  ['deflate', deflateRawSync(mail('one', 'Some text.\n'.repeat(500))), DOVEADM],
  ['zlib', deflateSync(mail('one')), 'pigz -dc FILE | kopano-learnd relearn --ham -'],
  ['bzip2', latin1('BZh91AY&SYI\u000by\u009d\0\0'), 'bzcat FILE | kopano-learnd relearn --ham -'],
  ['xz', latin1('\u00fd7zXZ\0\0\u0004\u00e6\u00d6'), 'xzcat FILE | kopano-learnd relearn --ham -'],
  ['lzma', Buffer.from('5d00008000ffffffffffffffff00231c89e6', 'hex'), 'xzcat FILE'],
  [
    'lzma that knows its size',
    Buffer.from('5d000080003412000000000000002a19', 'hex'),
    'xzcat FILE',
  ],
  ['lz4', Buffer.from('04224d186440a71f000080', 'hex'), 'lz4 -dc FILE'],
  ['PST', latin1('!BDN\u00aa\u00bb\u00cc\u00dd'), 'readpst -e -o DIR FILE'],
  [
    'MSG',
    Buffer.concat([
      latin1(OLE),
      Buffer.alloc(1_000),
      Buffer.from('__substg1.0_0037001F', 'utf16le'),
    ]),
    'msgconvert FILE',
  ],
  ['mbx', latin1('*mbx*\r\n68b5000000000002\r\n'), 'mailutil copy'],
  ['UTF-16', Buffer.from(`\ufeff${mail('one')}`, 'utf16le'), 'iconv -f UTF-16 -t UTF-8 FILE'],
  ['packed twice', gzipSync(gzipSync(mail('one'))), 'zcat FILE'],
  ['lz4 of Dovecot in gzip', gzipSync('Dovecot-LZ4\r*'), DOVEADM],
];

const PERHAPS: readonly (readonly [string, Buffer, string])[] = [
  ['zip', latin1('PK\u0003\u0004\u0014\0'), 'unzip FILE -d DIR'],
  ['tar', tar(), 'tar -xf FILE -C DIR'],
  ['tar, packed', gzipSync(tar()), 'tar -xf FILE -C DIR'],
  ['another OLE file', latin1(`${OLE}\0\0\0`), 'msgconvert FILE'],
];

async function piped(content: Buffer): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, 7);
  return readAll(new PathSource('-', 'ham', readingOptions({ stdin })));
}

async function beside(content: Buffer): Promise<string[]> {
  const folder = temporaryFolder();
  writeFileSync(`${folder}/a`, content);
  writeFileSync(`${folder}/b`, mail('b'));
  return told(await readAll(new PathSource(folder, 'ham', readingOptions())), folder);
}

test.each(CONTENTS)(
  '%s fails, alone and beside messages, told with what opens it',
  async (_, content, cure) => {
    const [line, ...others] = told(await piped(content));
    expect(line).toMatch(/^failed -: /);
    expect(line).toContain(cure);
    expect(others).toEqual([]);
    expect(await beside(content)).toEqual([expect.stringMatching(/^failed a: /), 'message b b']);
  },
);

test.each(PERHAPS)(
  '%s need not be mail: it fails alone, and is passed over beside messages',
  async (_, content, cure) => {
    const [line] = told(await piped(content));
    expect(line).toMatch(/^failed -: /);
    expect(line).toContain(cure);
    const [message, passed] = await beside(content);
    expect(message).toBe('message b b');
    expect(passed).toMatch(/^skipped a: /);
    expect(passed).toContain(cure);
  },
);

test('a text is none of these', async () => {
  const texts = ['x^2 is a square\n', 'xylophone\n', 'BZh is short\n', 'Rare things\n'];
  for (const text of [...texts, '2 More\n', 'PK\n']) {
    expect(told(await piped(latin1(text)))).toEqual(['failed -: not a mail message']);
  }
});
