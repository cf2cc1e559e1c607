import type { Verdict } from '../../verdict.ts';
import { FOLDER_NAMES } from './folder-names.ts';
import type { FolderUse } from './folder-names.ts';

/**
 * What a mail folder is for, told by its name, and whether what lies in it may be taught: the Junk
 * folder in somebody's Maildir is no ham, and their Inbox is no spam. Only what lies below a named
 * path is judged; who names a folder wants it.
 *
 * Names are all there is: no mail store keeps the special uses of RFC 6154 in a file (Dovecot 2.3
 * has them in its settings alone, and refuses to set `/private/specialuse`).
 */
const UNWANTED: Readonly<Record<Verdict, readonly FolderUse[]>> = {
  ham: ['junk', 'trash', 'drafts'],
  spam: ['inbox', 'sent', 'drafts', 'trash'],
};

/** As people write a letter where their keyboards have no such letter. */
const TRANSCRIBED: Readonly<Record<string, string>> = {
  ä: 'ae',
  ö: 'oe',
  ü: 'ue',
  ø: 'oe',
  å: 'aa',
};

/** Letters that Unicode doesn't take apart into a plain letter and a mark. */
const PLAIN = new Map(
  Object.entries({ ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ı: 'i' }),
);

const BIG_ENDIAN = new TextDecoder('utf-16be');

/** Of a word that is two things in two languages the last one counts. */
const USE_OF_NAME: ReadonlyMap<string, FolderUse> = new Map(
  (['sent', 'inbox', 'drafts', 'trash', 'junk'] as const).flatMap((use) =>
    FOLDER_NAMES[use].flatMap((name) =>
      [name, transcribed(name)].map((each) => [letters(each), use] as const),
    ),
  ),
);

/**
 * The use for which a folder's messages are not taught; `undefined` for any other folder.
 * @param name its raw name; with several parts (`.INBOX.Spam`), one of them is enough
 */
export function unwantedFolder(name: string, verdict: Verdict): FolderUse | undefined {
  const parts = decoded(name).split('.');
  return parts
    .map((part) => USE_OF_NAME.get(letters(part)))
    .find((use, at) => isUnwanted(use, verdict) && (use !== 'inbox' || at === parts.length - 1));
}

/** The same of a file, which may be an mbox: `Junk`, `Trash.mbox`, `Inbox.gz`. */
export function unwantedFile(name: string, verdict: Verdict): FolderUse | undefined {
  const folder = decoded(name.replace(MBOX_ENDING, ''));
  // `spam1` and `spam.eml` are names that people give to messages.
  if (/[\d.]/.test(folder)) return undefined;
  const use = USE_OF_NAME.get(letters(folder));
  return isUnwanted(use, verdict) ? use : undefined;
}

/**
 * True when reading a named folder as `verdict` passes over all of `below`, a raw path in it. An inbox
 * isn't: what lies in folders below it is read.
 */
export function isPassedOver(below: string, isFolder: boolean, verdict: Verdict): boolean {
  const names = below.split('/');
  const file = isFolder ? undefined : names.pop();
  const uses = names.map((name) => unwantedFolder(name, verdict));
  if (file !== undefined && unwantedFile(file, verdict) !== undefined) return true;
  return uses.some((use) => use !== undefined && use !== 'inbox');
}

export function passedOverAs(use: FolderUse, verdict: Verdict): string {
  return `${USE_TITLES[use]}, which holds no ${verdict}`;
}

const USE_TITLES: Readonly<Record<FolderUse, string>> = {
  junk: 'a junk folder',
  trash: 'a folder of deleted messages',
  drafts: 'a folder of drafts',
  sent: 'a folder of sent messages',
  inbox: 'an inbox',
};

const MBOX_ENDING = /(?:\.(?:mbox|mbx))?(?:\.(?:gz|zst))?$/i;

function isUnwanted(use: FolderUse | undefined, verdict: Verdict): use is FolderUse {
  return use !== undefined && UNWANTED[verdict].includes(use);
}

/** A raw name as people see it: UTF-8, and the modified UTF-7 of IMAP (RFC 3501, 5.1.3) in it. */
function decoded(raw: string): string {
  const text = Buffer.from(raw, 'latin1').toString('utf8');
  return text.replace(/&([A-Za-z0-9+,]*)-/g, (_, base64: string) => {
    const units = Buffer.from(base64.replaceAll(',', '/'), 'base64');
    return base64 === '' ? '&' : BIG_ENDIAN.decode(units);
  });
}

function transcribed(name: string): string {
  return name.toLowerCase().replace(/[äöüøå]/g, (letter) => TRANSCRIBED[letter] ?? letter);
}

/** Its letters alone, in lower case and without marks. */
function letters(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[ßæœøłđı]/g, (letter) => PLAIN.get(letter) ?? letter)
    .replace(/[^\p{L}]/gu, '');
}
