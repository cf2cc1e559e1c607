import { constants, inflateRawSync, inflateSync } from 'node:zlib';
import type { Verdict } from '../../verdict.ts';
import { isOtherFetch } from './doveadm.ts';
import { messageStart } from './mail.ts';

/**
 * Contents that hold mail, or may, and that are not read here: known by their first bytes, each with
 * the command that makes mail of them.
 */
export interface Unopened {
  /** What it is, and the command. */
  readonly reason: string;
  /** It may well be something else than mail: a folder of messages isn't worse for it. */
  readonly mayBeOther: boolean;
}

interface Format {
  readonly what: string;
  /** Judges the first bytes, as Latin 1; `all`: the first 64 KiB. */
  readonly is: (head: string, all: Buffer) => boolean;
  /** Prints its content, for standard input. */
  readonly pipe?: string;
  /** Makes files of it. */
  readonly unpack?: string;
  readonly mayBeOther?: boolean;
}

/** Dovecot reads what it wrote; with `uid` in front what it prints comes apart for sure. */
const DOVEADM = { pipe: 'doveadm fetch -u USER "uid text" mailbox FOLDER' } as const;
const OLE = '\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1';

const FORMATS: readonly Format[] = [
  { what: 'compressed by Dovecot (lz4)', is: starts('Dovecot-LZ4'), ...DOVEADM },
  { what: 'encrypted by Dovecot (mail_crypt)', is: starts('CRYPTED\x03\x07'), ...DOVEADM },
  { what: "in Dovecot's dbox format", is: matches(/^2 M[0-9a-f]+ C[0-9a-f]+\n/), ...DOVEADM },
  { what: 'printed by doveadm fetch without text, or by -f', is: isOtherFetch, ...DOVEADM },
  { what: 'packed twice', is: starts('\x1f\x8b', '\x28\xb5\x2f\xfd'), pipe: 'zcat FILE' },
  { what: 'bzip2', is: isBzip2, pipe: 'bzcat FILE' },
  { what: 'xz', is: starts('\xfd7zXZ\0'), pipe: 'xzcat FILE' },
  { what: 'lzma', is: matches(/^\]\0\0..(?:\xff{8}|.{5}\0{3})/s), pipe: 'xzcat FILE' },
  { what: 'lzip', is: starts('LZIP\x01'), pipe: 'lzip -dc FILE' },
  { what: 'lz4', is: starts('\x04"M\x18', '\x02!L\x18'), pipe: 'lz4 -dc FILE' },
  { what: 'compressed by compress', is: starts('\x1f\x9d'), pipe: 'gzip -dc FILE' },
  { what: 'zlib', is: isZlib, pipe: 'pigz -dc FILE' },
  { what: 'an Outlook data file (PST)', is: starts('!BDN'), unpack: 'readpst -e -o DIR FILE' },
  { what: 'an Outlook message (MSG)', is: isMsg, unpack: 'msgconvert FILE' },
  {
    what: 'an Outlook Express mailbox (DBX)',
    is: starts('\xcf\xad\x12\xfe'),
    unpack: 'undbx FILE DIR',
  },
  { what: 'an mbx mailbox', is: starts('*mbx*\r\n'), unpack: 'mailutil copy FILE DIR/NAME' },
  {
    what: 'UTF-16 text',
    is: starts('\xff\xfe', '\xfe\xff'),
    pipe: 'iconv -f UTF-16 -t UTF-8 FILE',
  },
  {
    what: 'a zip archive',
    is: starts('PK\x03\x04'),
    unpack: 'unzip FILE -d DIR',
    mayBeOther: true,
  },
  { what: 'a tar archive', is: isTar, unpack: 'tar -xf FILE -C DIR', mayBeOther: true },
  { what: 'a 7z archive', is: starts('7z\xbc\xaf'), unpack: '7z x FILE -oDIR', mayBeOther: true },
  { what: 'a RAR archive', is: starts('Rar!\x1a'), unpack: 'unrar x FILE DIR/', mayBeOther: true },
  { what: 'an OLE file', is: starts(OLE), unpack: 'msgconvert FILE', mayBeOther: true },
];

/** Its first bytes have no mark: it is asked for last, where nothing else is left. */
const DEFLATE = { what: 'compressed by Dovecot (deflate)', ...DOVEADM } as const;

/** What `head` begins, when that is something to be opened first. */
export function unopened(head: Buffer, verdict: Verdict): Unopened | undefined {
  const text = head.toString('latin1', 0, TASTE_BYTES);
  const format = FORMATS.find(({ is }) => is(text, head));
  return format === undefined ? undefined : told(format, verdict);
}

/** The same of what is neither that nor mail. */
export function deflated(head: Buffer, verdict: Verdict): Unopened | undefined {
  return isDeflatedMail(head) ? told(DEFLATE, verdict) : undefined;
}

function told(
  { what, pipe, unpack, mayBeOther = false }: Omit<Format, 'is'>,
  verdict: Verdict,
): Unopened {
  const cure =
    pipe === undefined
      ? `unpack it first: ${unpack ?? ''}`
      : `${pipe} | kopano-learnd relearn --${verdict} -`;
  return { reason: `${what}: ${cure}`, mayBeOther };
}

function starts(...magics: readonly string[]): (head: string) => boolean {
  return (head) => magics.some((magic) => head.startsWith(magic));
}

function matches(pattern: RegExp): (head: string) => boolean {
  return (head) => pattern.test(head);
}

/** The names of an Outlook message's streams, which are UTF-16. */
function isMsg(head: string, all: Buffer): boolean {
  return head.startsWith(OLE) && all.includes('__substg1.0_', 0, 'utf16le');
}

/** A block, or nothing but the end, follows the level. */
function isBzip2(head: string): boolean {
  return (
    /^BZh[1-9]/.test(head) && ['1AY&SY', '\x17rE8P\x90'].some((each) => head.startsWith(each, 4))
  );
}

function isTar(head: string): boolean {
  return head.startsWith('ustar', 257);
}

/** Only a try shows it: its first two bytes may begin a text. */
function isZlib(head: string, all: Buffer): boolean {
  const isMarked = head.startsWith('x') && '\x01\x5e\x9c\xda'.includes(head.charAt(1));
  return isMarked && inflated(all, inflateSync) !== undefined;
}

function isDeflatedMail(head: Buffer): boolean {
  const content = inflated(head, inflateRawSync);
  return content !== undefined && messageStart(content) !== undefined;
}

/** So much of a content shows what is in it. */
const TASTE_BYTES = 1_024;
const LARGEST_TASTE = 1024 * 1024;

/** What the beginning of a compressed content holds; `undefined` when it is something else. */
function inflated(head: Buffer, inflate: typeof inflateSync): Buffer | undefined {
  try {
    const content = inflate(head.subarray(0, TASTE_BYTES), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: LARGEST_TASTE,
    });
    return content.length === 0 ? undefined : content;
  } catch {
    return undefined;
  }
}
