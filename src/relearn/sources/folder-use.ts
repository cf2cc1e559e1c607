import { VERDICTS } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';

/**
 * What a mail folder is for, told by its name, and whether what lies in it may be taught: the Junk
 * folder in somebody's Maildir is no ham, and their Inbox is no spam. Only what lies below a named
 * path is judged; who names a folder wants it.
 *
 * Names are all there is: no mail store keeps the special uses of RFC 6154 in a file. These are what
 * Outlook, Kopano, Thunderbird, Apple Mail and Gmail call them in English, German, Dutch, French,
 * Italian, Spanish, Portuguese, Danish, Swedish, Norwegian, Polish and Czech. Case, accents, blanks
 * and punctuation don't matter: `Junk E-mail` is there for `.Junk-E-Mail` as well.
 */
const USES = {
  junk: {
    title: 'a junk folder',
    unwantedAs: ['ham'],
    names: `junk, junk email, junk mail, junk items, spam, spam mail, spambox, bulk mail, quarantine,
      Junk-E-Mail-Ordner, Unerwünscht, Unerwünschte E-Mails, Spamverdacht, Quarantäne,
      Ongewenst, Ongewenste e-mail, Courrier indésirable, Indésirables, Pourriel,
      Posta indesiderata, Correo no deseado, Lixo eletrônico, Lixo electrónico, Uønsket mail,
      Uønsket e-mail, Skräppost, Søppelpost, Wiadomości-śmieci, Niechciane, Nevyžádaná pošta`,
  },
  trash: {
    title: 'a folder of deleted messages',
    unwantedAs: ['ham', 'spam'],
    names: `trash, deleted, deleted items, deleted messages, wastebasket, recycle bin, Gelöscht,
      Gelöschte Elemente, Gelöschte Objekte, Papierkorb, Verwijderde items, Prullenbak, Corbeille,
      Éléments supprimés, Posta eliminata, Cestino, Elementos eliminados, Papelera, Lixeira,
      Itens excluídos, Itens eliminados, Slettet post, Papirkurv, Borttaget, Papperskorgen,
      Slettede elementer, Elementy usunięte, Kosz, Odstraněná pošta, Koš`,
  },
  drafts: {
    title: 'a folder of drafts',
    unwantedAs: ['ham', 'spam'],
    names: `drafts, draft, Entwürfe, Concepten, Brouillons, Bozze, Borradores, Rascunhos, Kladder,
      Utkast, Wersje robocze, Szkice, Koncepty`,
  },
  sent: {
    title: 'a folder of sent messages',
    unwantedAs: ['spam'],
    names: `sent, sent items, sent mail, sent messages, outbox, Gesendet, Gesendete Elemente,
      Gesendete Objekte, Postausgang, Verzonden items, Verzonden, Éléments envoyés, Envoyés,
      Posta inviata, Elementos enviados, Enviados, Itens enviados, Sendt post, Sendt, Skickat,
      Sendte elementer, Elementy wysłane, Odeslaná pošta`,
  },
  inbox: {
    title: 'an inbox',
    unwantedAs: ['spam'],
    names: `inbox, Maildir, Posteingang, Postvak IN, Boîte de réception, Posta in arrivo,
      Bandeja de entrada, Caixa de entrada, Indbakke, Inkorgen, Innboks, Skrzynka odbiorcza,
      Doručená pošta`,
  },
} as const;

export type FolderUse = keyof typeof USES;

const USE_OF_NAME: ReadonlyMap<string, FolderUse> = new Map(
  (Object.keys(USES) as FolderUse[]).flatMap((use) =>
    USES[use].names.split(',').map((name) => [letters(name), use] as const),
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
  const folder = decoded(name.replace(/(?:\.mbox)?(?:\.(?:gz|zst))?$/i, ''));
  // `spam1` and `spam.eml` are names that people give to messages.
  const use = /[\d.]/.test(folder) ? undefined : USE_OF_NAME.get(letters(folder));
  return isUnwanted(use, verdict) ? use : undefined;
}

/** True when reading a named folder as `verdict` passes over all of `below`, a raw path in it. */
export function isPassedOver(below: string, isFolder: boolean, verdict: Verdict): boolean {
  const names = below.split('/');
  const file = isFolder ? undefined : names.pop();
  if (file !== undefined && unwantedFile(file, verdict) !== undefined) return true;
  // What lies in folders below an inbox is read.
  const uses = names.map((name) => unwantedFolder(name, verdict));
  return uses.some((use) => use !== undefined && use !== 'inbox');
}

export function passedOverAs(use: FolderUse, verdict: Verdict): string {
  return `${USES[use].title}, which holds no ${verdict}`;
}

function isUnwanted(use: FolderUse | undefined, verdict: Verdict): use is FolderUse {
  if (use === undefined) return false;
  const { unwantedAs } = USES[use];
  // Of a further class nothing is known but what holds of all: what was thrown away is none of it.
  const isFurther = !VERDICTS.some((each) => each === verdict);
  return isFurther ? unwantedAs.length > 1 : unwantedAs.some((each) => each === verdict);
}

/** A raw name as people see it: UTF-8, and the modified UTF-7 of IMAP (RFC 3501, 5.1.3) in it. */
function decoded(raw: string): string {
  if (/^[ -%'-~]*$/.test(raw)) return raw;
  const text = Buffer.from(raw, 'latin1').toString('utf8');
  return text.replace(/&([A-Za-z0-9+,]*)-/g, (_, base64: string) => {
    const units = Buffer.from(base64.replaceAll(',', '/'), 'base64');
    return base64 === '' ? '&' : new TextDecoder('utf-16be').decode(units);
  });
}

/** Its letters alone, in lower case and without accents. */
function letters(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^\p{L}]/gu, '');
}
