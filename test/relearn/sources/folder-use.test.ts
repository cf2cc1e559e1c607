import { describe, expect, test } from 'vitest';
import { FOLDER_NAMES } from '../../../src/relearn/sources/folder-names.ts';
import type { FolderUse } from '../../../src/relearn/sources/folder-names.ts';
import { unwantedFile, unwantedFolder } from '../../../src/relearn/sources/folder-use.ts';
import type { Verdict } from '../../../src/verdict.ts';

const raw = (name: string): string => Buffer.from(name).toString('latin1');
const utf7 = (name: string): string =>
  name.replace(/[^ -~]+/g, (text) => {
    const units = Buffer.from(text, 'utf16le').swap16();
    return `&${units.toString('base64').replace(/=+$/, '').replaceAll('/', ',')}-`;
  });

describe('a folder whose name says what it is for', () => {
  test.each<[Verdict, FolderUse | undefined, string[]]>([
    [
      'ham',
      'junk',
      [
        ...['.Junk', '.INBOX.Spam', '.Junk-E-Mail', 'Junk E-mail', '.INBOX.Junk.2023', 'SPAM'],
        ...['Junk.sbd', 'Junk.mbox', '[Gmail].Spam', 'spam_2024', '.Courrier ind&AOk-sirable'],
        '.&j,dg0TDhMPww6w-',
      ],
    ],
    [
      'ham',
      'trash',
      [
        ...['.Trash', '.Deleted Items', '.Deleted Messages', '.Gel&APY-schte Objekte'],
        ...['.Gel&APY-schte Elemente', 'Gelöschte Objekte', 'Geloeschte_Objekte'],
        ...['GELÖSCHTE OBJEKTE', 'Gelo\u0308schte Objekte', 'Silinmiş Öğeler'],
        ...['SİLİNMİŞ ÖĞELER', 'Usuniete'],
      ],
    ],
    ['ham', 'drafts', ['.Drafts', 'Entwürfe', 'Черновики']],
    [
      'ham',
      undefined,
      ['INBOX', '.Sent', 'Archive', 'cur', 'new', 'Spammer', 'no spam', 'Antispam', 'Ham'],
    ],
    ['spam', 'inbox', ['INBOX', '.INBOX', 'Posteingang']],
    ['spam', 'sent', ['.Sent', '.Sent Items', 'Gesendete Objekte', 'Envoyés']],
    ['spam', 'drafts', ['Concepten']],
    ['spam', 'trash', ['.INBOX.Trash', 'Papierkorb']],
    ['spam', undefined, ['.INBOX.Spam', '.INBOX.Viagra', 'Junk', 'Absent', 'Sentinel']],
  ])('as %s: %s', (verdict, use, names) => {
    for (const name of names) expect(unwantedFolder(raw(name), verdict), name).toBe(use);
  });
});

test.each(Object.entries(FOLDER_NAMES))(
  'every name of %s is known as it is, and as IMAP writes it',
  (use, names) => {
    const verdict = use === 'junk' ? 'ham' : 'spam';
    const isKnown = (name: string): boolean => {
      const found = unwantedFolder(name, verdict);
      // Some words are two things in two languages.
      return found === use || (found !== undefined && use !== 'junk');
    };
    const unknown = names.filter(
      (name) => ![raw(name), utf7(name), raw(name.toUpperCase())].every(isKnown),
    );
    // What is junk in one language is taught as spam, whatever else it is in another one.
    expect(unknown.filter((name) => unwantedFolder(raw(name), 'ham') !== 'junk')).toEqual([]);
  },
);

test('a file may be an mbox of what is no ham, or something else', () => {
  const boxes = ['Junk', 'junk.mbox', 'Trash', 'Trash.gz', 'Drafts.mbx.zst', 'Gelöschte Objekte'];
  for (const name of boxes) expect(unwantedFile(raw(name), 'ham'), name).toBeDefined();
  const others = ['spam.eml', 'spam1', 'spam.1', 'Inbox', 'Sent', 'junk-mails.tar', 'msg'];
  for (const name of others) expect(unwantedFile(raw(name), 'ham'), name).toBeUndefined();
});
