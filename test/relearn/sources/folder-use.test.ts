import { mkdirSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { unwantedFile, unwantedFolder } from '../../../src/relearn/sources/folder-use.ts';
import type { FolderUse } from '../../../src/relearn/sources/folder-use.ts';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Verdict } from '../../../src/verdict.ts';
import { mail, mboxOf, putIn, readAll, readingOptions } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const raw = (name: string): string => Buffer.from(name).toString('latin1');

test.each<[Verdict, FolderUse | undefined, string]>([
  [
    'ham',
    'junk',
    '.Junk, .INBOX.Spam, .Junk-E-Mail, Junk E-mail, .INBOX.Junk.2023, SPAM, Junk.sbd',
  ],
  ['ham', 'junk', '[Gmail].Spam, spam_2024, .Courrier ind&AOk-sirable'],
  ['ham', 'trash', '.Trash, .Deleted Items, .Gel&APY-schte Elemente, GELÖSCHTE OBJEKTE'],
  ['ham', 'trash', 'Gelo\u0308schte Objekte'],
  ['ham', 'drafts', '.Drafts, Entwürfe'],
  ['ham', undefined, 'INBOX, .Sent, Archive, cur, Spammer, no spam, Ham, Maildir'],
  ['spam', 'inbox', 'INBOX, .INBOX, Posteingang, Maildir'],
  ['spam', 'sent', '.Sent, .Sent Items, Gesendete Objekte, Envoyés'],
  ['spam', 'drafts', 'Concepten'],
  ['spam', 'trash', '.INBOX.Trash, Papierkorb'],
  ['spam', undefined, '.INBOX.Spam, .INBOX.Viagra, Junk, Absent, Sentinel'],
])('read as %s, a folder is known by its name: %s', (verdict, use, names) => {
  for (const name of names.split(', ')) {
    expect(unwantedFolder(raw(name), verdict), name).toBe(use);
  }
});

test('a file may be an mbox of what is no ham, or something else', () => {
  const boxes = ['Junk', 'junk.mbox', 'Trash', 'Trash.gz', 'Drafts.mbox.zst', 'Gelöschte Objekte'];
  for (const name of boxes) expect(unwantedFile(raw(name), 'ham'), name).toBeDefined();
  const others = ['spam.eml', 'spam1', 'spam.1', 'Inbox', 'Sent', 'junk-mails.tar', 'msg'];
  for (const name of others) expect(unwantedFile(raw(name), 'ham'), name).toBeUndefined();
});

const JUNK = 'a junk folder, which holds no ham';
const TRASH = 'a folder of deleted messages, which holds no ham';
const INBOX = 'an inbox, which holds no spam';

describe('trees of folders:', () => {
  let folder: string;

  beforeEach(() => {
    folder = temporaryFolder();
  });

  /** Makes Maildirs with so many messages each. */
  function maildirs(messages: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(messages)) {
      for (const part of ['cur', 'new', 'tmp']) {
        mkdirSync(`${folder}/${name}/${part}`, { recursive: true });
      }
      for (let index = 0; index < count; index += 1) {
        putIn(folder, `${name}/cur/${index}.host:2,S`, mail(name));
      }
    }
  }

  /** The number of messages of each folder, and why those that are passed over are. */
  async function folders(verdict: Verdict, path = ''): Promise<Record<string, string>> {
    const counts: Record<string, number> = {};
    const reasons: Record<string, string> = {};
    const source = new PathSource(folder + path, verdict, readingOptions());
    for (const found of await readAll(source)) {
      if (found.kind !== 'message' && found.kind !== 'passedOver') continue;
      const name = (found.folder ?? found.place).slice(folder.length);
      counts[name] = (counts[name] ?? 0) + 1;
      if (found.kind === 'passedOver') reasons[name] = `: ${found.reason}`;
    }
    return Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [name, `${count}${reasons[name] ?? ''}`]),
    );
  }

  test('a Maildir', async () => {
    maildirs({ M: 5, 'M/.Junk': 4, 'M/.INBOX.Spam': 2, 'M/.Trash': 3, 'M/.Drafts': 1 });
    maildirs({ 'M/.Sent': 2, 'M/.Archive.2023': 6, 'M/.Trash.Old projects': 2 });
    expect(await folders('ham', '/M')).toEqual({
      '/M': '5',
      '/M/.Archive.2023': '6',
      '/M/.Sent': '2',
      '/M/.Junk': `4: ${JUNK}`,
      '/M/.INBOX.Spam': `2: ${JUNK}`,
      '/M/.Trash': `3: ${TRASH}`,
      '/M/.Trash.Old projects': `2: ${TRASH}`,
      '/M/.Drafts': '1: a folder of drafts, which holds no ham',
    });
    const spam = Object.entries(await folders('spam', '/M'));
    expect(
      spam
        .filter(([, text]) => !text.includes(':'))
        .map(([name]) => name)
        .sort(),
    ).toEqual(['/M', '/M/.Archive.2023', '/M/.INBOX.Spam', '/M/.Junk']);
    expect(await folders('ham', '/M/.Junk')).toEqual({ '/M/.Junk': '4' });
    const source = new PathSource(`${folder}/M`, 'ham', readingOptions());
    await source.count(new AbortController().signal);
    expect(source.expected).toBe(13);
    await readAll(source);
    expect(source.expected).toBe(13);
  });

  test("Dovecot's with LAYOUT=fs", async () => {
    maildirs({ Maildir: 1, 'Maildir/INBOX/Lists': 2, 'Maildir/A/Junk': 3, 'Maildir/Trash/B/C': 4 });
    expect(await folders('ham')).toEqual({
      '/Maildir': '1',
      '/Maildir/INBOX/Lists': '2',
      '/Maildir/A/Junk': `3: ${JUNK}`,
      '/Maildir/Trash/B/C': `4: ${TRASH}`,
    });
    expect(await folders('spam')).toMatchObject({
      '/Maildir': `1: ${INBOX}`,
      '/Maildir/INBOX/Lists': '2',
      '/Maildir/A/Junk': '3',
    });
  });

  test("Thunderbird's, of mboxes", async () => {
    const box = mboxOf([mail('a'), mail('b')]);
    for (const name of ['Inbox', 'Junk', 'Trash.sbd/Old', 'Inbox.sbd/Projects']) {
      putIn(folder, name, box);
    }
    putIn(folder, 'Inbox.msf', '// <!-- <mdb:mork:z v="1.4"/> -->\n');
    expect(await folders('ham')).toEqual({
      '/Inbox': '2',
      '/Inbox.sbd/Projects': '2',
      '/Junk': `1: ${JUNK}`,
      '/Trash.sbd': `1: ${TRASH}`,
    });
    expect(await folders('spam')).toMatchObject({ '/Inbox': `1: ${INBOX}`, '/Junk': '2' });
  });

  test("Thunderbird's, of Maildirs without new", async () => {
    const [inbox, projects] = ['/Inbox', '/Inbox.sbd/Projects'];
    for (const name of [inbox, projects, '/Junk']) {
      for (const part of ['cur', 'tmp']) putIn(folder + name, `${part}/1.eml`, mail(name));
    }
    expect(await folders('ham')).toEqual({ [inbox]: '1', [projects]: '1', '/Junk': `1: ${JUNK}` });
    expect(await folders('spam')).toMatchObject({ [inbox]: `1: ${INBOX}`, '/Junk': '1' });
  });
});
