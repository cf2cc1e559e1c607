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

/** `is` judges the first bytes, as Latin 1; `all` are the first 64 KiB. */
type Format = readonly [what: string, is: (head: string, all: Buffer) => boolean, command: string];

/** Dovecot reads what it wrote; with `uid` in front what it prints comes apart for sure. */
const DOVEADM = 'doveadm fetch -u USER "uid text" mailbox FOLDER';
const OLE = '\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1';

/** The command prints what is in it. */
const PIPED: readonly Format[] = [
  ['compressed by Dovecot (lz4)', starts('Dovecot-LZ4'), DOVEADM],
  ['encrypted by Dovecot (mail_crypt)', starts('CRYPTED\x03\x07'), DOVEADM],
  ["in Dovecot's dbox format", matches(/^2 M[0-9a-f]+ C[0-9a-f]+\n/), DOVEADM],
  ['printed by doveadm fetch without text, or by -f', isOtherFetch, DOVEADM],
  ['packed twice', starts('\x1f\x8b', '\x28\xb5\x2f\xfd'), 'zcat FILE'],
  ['bzip2', isBzip2, 'bzcat FILE'],
  ['xz', starts('\xfd7zXZ\0'), 'xzcat FILE'],
  ['lzma', matches(/^\]\0\0..(?:\xff{8}|.{5}\0{3})/s), 'xzcat FILE'],
  ['lzip', starts('LZIP\x01'), 'lzip -dc FILE'],
  ['lz4', starts('\x04"M\x18', '\x02!L\x18'), 'lz4 -dc FILE'],
  ['compressed by compress', starts('\x1f\x9d'), 'gzip -dc FILE'],
  ['zlib', isZlib, 'pigz -dc FILE'],
  ['UTF-16 text', starts('\xff\xfe', '\xfe\xff'), 'iconv -f UTF-16 -t UTF-8 FILE'],
];

/** The command makes files of what is in it. */
const UNPACKED: readonly Format[] = [
  ['an Outlook data file (PST)', starts('!BDN'), 'readpst -e -o DIR FILE'],
  ['an Outlook message (MSG)', isMsg, 'msgconvert FILE'],
  ['an Outlook Express mailbox (DBX)', starts('\xcf\xad\x12\xfe'), 'undbx FILE DIR'],
  ['an mbx mailbox', starts('*mbx*\r\n'), 'mailutil copy FILE DIR/NAME'],
];

/** The same of what may well be something else than mail. */
const PERHAPS: readonly Format[] = [
  ['a zip archive', starts('PK\x03\x04'), 'unzip FILE -d DIR'],
  ['a tar archive', isTar, 'tar -xf FILE -C DIR'],
  ['a 7z archive', starts('7z\xbc\xaf'), '7z x FILE -oDIR'],
  ['a RAR archive', starts('Rar!\x1a'), 'unrar x FILE DIR/'],
  ['an OLE file', starts(OLE), 'msgconvert FILE'],
];

/** What `head` begins, when that is something to be opened first. */
export function unopened(head: Buffer, verdict: Verdict): Unopened | undefined {
  const text = head.toString('latin1', 0, TASTE_BYTES);
  const among = (formats: readonly Format[]): Format | undefined =>
    formats.find(([, is]) => is(text, head));
  const piped = among(PIPED);
  if (piped !== undefined) return pipedCure(piped, verdict);
  const unpacked = among(UNPACKED);
  const [what, , command] = unpacked ?? among(PERHAPS) ?? [];
  if (what === undefined) return undefined;
  const mayBeOther = unpacked === undefined;
  return { reason: `${what}: unpack it first: ${command ?? ''}`, mayBeOther };
}

/** The same of what is neither that nor mail: these first bytes have no mark. */
export function deflated(head: Buffer, verdict: Verdict): Unopened | undefined {
  const content = inflated(head, inflateRawSync);
  if (content === undefined || messageStart(content) === undefined) return undefined;
  return pipedCure(['compressed by Dovecot (deflate)', () => true, DOVEADM], verdict);
}

function pipedCure([what, , command]: Format, verdict: Verdict): Unopened {
  const reason = `${what}: ${command} | kopano-learnd relearn --${verdict} -`;
  return { reason, mayBeOther: false };
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
