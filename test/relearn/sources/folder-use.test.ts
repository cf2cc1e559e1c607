import { describe, expect, test } from 'vitest';
import { FOLDER_NAMES } from '../../../src/relearn/sources/folder-names.ts';
import { unwantedFile, unwantedFolder } from '../../../src/relearn/sources/folder-use.ts';

const raw = (name: string): string => Buffer.from(name).toString('latin1');
const utf7 = (name: string): string =>
  name.replace(/[^ -~]+/g, (text) => {
    const units = Buffer.from(text, 'utf16le').swap16();
    return `&${units.toString('base64').replace(/=+$/, '').replaceAll('/', ',')}-`;
  });

describe('a folder whose messages are no ham', () => {
  test.each([
    ['junk', '.Junk'],
    ['junk', '.INBOX.Spam'],
    ['junk', '.Junk-E-Mail'],
    ['junk', 'Junk E-mail'],
    ['junk', '.INBOX.Junk.2023'],
    ['junk', 'SPAM'],
    ['junk', 'Junk.sbd'],
    ['junk', 'Junk.mbox'],
    ['junk', '[Gmail].Spam'],
    ['junk', 'spam_2024'],
    ['junk', '.Courrier ind&AOk-sirable'],
    ['junk', '.&j,dg0TDhMPww6w-'],
    ['trash', '.Trash'],
    ['trash', '.Deleted Items'],
    ['trash', '.Deleted Messages'],
    ['trash', '.Gel&APY-schte Objekte'],
    ['trash', '.Gel&APY-schte Elemente'],
    ['trash', 'Gelöschte Objekte'],
    ['trash', 'Geloeschte_Objekte'],
    ['trash', 'GELÖSCHTE OBJEKTE'],
    ['trash', 'Gelo\u0308schte Objekte'],
    ['trash', 'Silinmiş Öğeler'],
    ['trash', 'SİLİNMİŞ ÖĞELER'],
    ['trash', 'Usuniete'],
    ['drafts', '.Drafts'],
    ['drafts', 'Entwürfe'],
    ['drafts', 'Черновики'],
  ])('is %s: %s', (use, name) => {
    expect(unwantedFolder(raw(name), 'ham')).toBe(use);
  });

  test.each(['INBOX', '.Sent', 'Archive', 'cur', 'new', 'Spammer', 'no spam', 'Antispam', 'Ham'])(
    'is not %s',
    (name) => {
      expect(unwantedFolder(raw(name), 'ham')).toBeUndefined();
    },
  );
});

describe('a folder whose messages are no spam', () => {
  test.each([
    ['inbox', 'INBOX'],
    ['inbox', '.INBOX'],
    ['inbox', 'Posteingang'],
    ['sent', '.Sent'],
    ['sent', '.Sent Items'],
    ['sent', 'Gesendete Objekte'],
    ['sent', 'Envoyés'],
    ['drafts', 'Concepten'],
    ['trash', '.INBOX.Trash'],
    ['trash', 'Papierkorb'],
  ])('is %s: %s', (use, name) => {
    expect(unwantedFolder(raw(name), 'spam')).toBe(use);
  });

  test.each(['.INBOX.Spam', '.INBOX.Viagra', 'Junk', 'Absent', 'Sentinel'])('is not %s', (name) => {
    expect(unwantedFolder(raw(name), 'spam')).toBeUndefined();
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

describe('a file', () => {
  test.each(['Junk', 'junk.mbox', 'Trash', 'Trash.gz', 'Drafts.mbx.zst', 'Gelöschte Objekte'])(
    'that may be an mbox of what is no ham: %s',
    (name) => {
      expect(unwantedFile(raw(name), 'ham')).toBeDefined();
    },
  );

  test.each(['spam.eml', 'spam1', 'spam.1', 'Inbox', 'Sent', 'junk-mails.tar', 'msg'])(
    'that is something else: %s',
    (name) => {
      expect(unwantedFile(raw(name), 'ham')).toBeUndefined();
    },
  );
});
