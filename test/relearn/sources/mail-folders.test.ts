import { mkdirSync, symlinkSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { archiveSources } from '../../../src/relearn/sources/archive.ts';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import type { Verdict } from '../../../src/verdict.ts';
import {
  mail,
  mboxOf,
  putIn,
  readAll,
  readingOptions,
  told,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, content = mail(name)): void {
  putIn(folder, name, content);
}

/** Makes Maildirs with so many messages each. */
function maildirs(messages: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(messages)) {
    for (const part of ['cur', 'new', 'tmp']) {
      mkdirSync(`${folder}/${name}/${part}`, { recursive: true });
    }
    for (let index = 0; index < count; index += 1) put(`${name}/cur/${index}.host:2,S`);
  }
}

async function read(verdict: Verdict, path = folder): Promise<Found[]> {
  return readAll(new PathSource(path, verdict, readingOptions()));
}

/** The number of messages of each folder, and why those that are passed over are. */
async function folders(verdict: Verdict, path = folder): Promise<Record<string, string>> {
  const counts: Record<string, number> = {};
  const reasons: Record<string, string> = {};
  for (const found of await read(verdict, path)) {
    if (found.kind !== 'message' && found.kind !== 'passed') continue;
    const name = found.folder?.slice(folder.length) ?? '?';
    counts[name] = (counts[name] ?? 0) + 1;
    reasons[name] = found.kind === 'passed' ? `: ${found.reason}` : '';
  }
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => [name, `${count}${reasons[name] ?? ''}`]),
  );
}

const JUNK = 'a junk folder, which holds no ham';
const TRASH = 'a folder of deleted messages, which holds no ham';
const INBOX = 'an inbox, which holds no spam';

describe('somebody’s Maildir', () => {
  beforeEach(() => {
    put('M/dovecot-uidvalidity', '68b5');
    maildirs({
      ...{ M: 5, 'M/.Junk': 4, 'M/.INBOX.Spam': 2, 'M/.Junk-E-Mail': 1, 'M/.Trash': 3 },
      ...{ 'M/.Gel&APY-schte Objekte': 1, 'M/.Drafts': 1, 'M/.Sent': 2, 'M/.Archive.2023': 6 },
      'M/.Trash.Old projects': 2,
    });
  });

  test('is taught as ham without its junk, its trash and its drafts', async () => {
    expect(await folders('ham', `${folder}/M`)).toEqual({
      '/M': '5',
      '/M/.Archive.2023': '6',
      '/M/.Sent': '2',
      '/M/.Junk': `4: ${JUNK}`,
      '/M/.INBOX.Spam': `2: ${JUNK}`,
      '/M/.Junk-E-Mail': `1: ${JUNK}`,
      '/M/.Trash': `3: ${TRASH}`,
      '/M/.Gel&APY-schte Objekte': `1: ${TRASH}`,
      '/M/.Trash.Old projects': `2: ${TRASH}`,
      '/M/.Drafts': '1: a folder of drafts, which holds no ham',
    });
    expect(await folders('ham', `${folder}/M/.Junk`)).toEqual({ '/M/.Junk': '4' });
  });

  test('is taught as spam without its trash, drafts and sent messages', async () => {
    const named = await folders('spam', `${folder}/M`);
    const names = Object.entries(named).filter(([, text]) => !text.includes(':'));
    expect(Object.fromEntries(names)).toEqual({
      ...{ '/M': '5', '/M/.Archive.2023': '6' },
      ...{ '/M/.Junk': '4', '/M/.INBOX.Spam': '2', '/M/.Junk-E-Mail': '1' },
    });
    // In a folder that is named it is an inbox.
    expect(await folders('spam')).toMatchObject({ '/M': `5: ${INBOX}`, '/M/.Junk': '4' });
  });

  test('counts what is taught, and nothing else', async () => {
    const source = new PathSource(`${folder}/M`, 'ham', readingOptions());
    await source.count(new AbortController().signal);
    expect(source.expected).toBe(13);
    await readAll(source);
    expect(source.expected).toBe(13);
  });
});

describe('other trees of folders', () => {
  test('as Dovecot lays them out with LAYOUT=fs', async () => {
    maildirs({ Maildir: 1, 'Maildir/INBOX/Projects': 2, 'Maildir/Archive/Junk': 3 });
    maildirs({ 'Maildir/Trash/Projects/Old': 4 });
    expect(await folders('ham')).toEqual({
      '/Maildir': '1',
      '/Maildir/INBOX/Projects': '2',
      '/Maildir/Archive/Junk': `3: ${JUNK}`,
      '/Maildir/Trash/Projects/Old': `4: ${TRASH}`,
    });
    expect(await folders('spam')).toMatchObject({
      '/Maildir': `1: ${INBOX}`,
      '/Maildir/INBOX/Projects': '2',
      '/Maildir/Archive/Junk': '3',
    });
  });

  test('of mboxes, as Thunderbird has them', async () => {
    const box = (count: number): string => mboxOf(Array.from({ length: count }, () => mail('a')));
    put('Inbox', box(2));
    put('Inbox.msf', '// <!-- <mdb:mork:z v="1.4"/> -->\n');
    put('Inbox.sbd/Projects', box(2));
    put('Junk', box(3));
    put('Trash', box(1));
    put('Trash.sbd/Old', box(2));
    put('Empty', '');
    expect(await folders('ham')).toEqual({
      '/Inbox': '2',
      '/Inbox.sbd/Projects': '2',
      '/Junk': `3: ${JUNK}`,
      '/Trash': `1: ${TRASH}`,
      '/Trash.sbd': `2: ${TRASH}`,
    });
    expect(await folders('spam')).toMatchObject({ '/Inbox': `2: ${INBOX}`, '/Junk': '3' });
  });

  test('of MH, without what was removed there', async () => {
    for (const name of ['1', '2', ',4', '#5', '6.bak', '7~', 'junk/1', 'lists/1']) put(name);
    put('.mh_sequences', 'cur: 1\n');
    expect(told(await read('ham'), folder)).toEqual([
      'message 1 1',
      'message 2 2',
      'message lists/1 lists/1',
      'passed %235: deleted (as MH renames it)',
      'passed ,4: deleted (as MH renames it)',
      'passed 6.bak: a backup copy',
      'passed 7~: a backup copy',
      `passed junk/1: ${JUNK}`,
      'skipped .mh_sequences: its name begins with a dot',
    ]);
  });

  test('of plain files, whatever those are called', async () => {
    for (const name of ['x/spam.eml', 'x/junk1', 'trash/y.eml']) put(name);
    expect(await folders('ham')).toEqual({ '/x': '2', '/trash': `1: ${TRASH}` });
  });

  test('that are sorted into spam/ and ham/', async () => {
    for (const name of ['spam/2026-01-02/a', 'spam/b', 'ham/2026-01-02/c']) put(name, mail(''));
    maildirs({ 'ham/Maildir': 1, 'ham/Maildir/.Junk': 2 });
    const sources = archiveSources([folder], readingOptions());
    const found = (await Promise.all(sources.map(readAll))).flat();
    expect(told(found, folder)).toEqual([
      'message ham/2026-01-02/c ',
      'message ham/Maildir/cur/0.host:2,S ham/Maildir/cur/0.host:2,S',
      'message spam/2026-01-02/a ',
      'message spam/b ',
      `passed ham/Maildir/.Junk/cur/0.host:2,S: ${JUNK}`,
      `passed ham/Maildir/.Junk/cur/1.host:2,S: ${JUNK}`,
    ]);
    const inFolders = found.flatMap((each) => ('folder' in each ? [each.folder ?? ''] : []));
    expect([...new Set(inFolders.map((each) => each.slice(folder.length)))].sort()).toEqual([
      ...['/ham', '/ham/Maildir', '/ham/Maildir/.Junk', '/spam'],
    ]);
  });
});

describe('a source of which nothing is mail', () => {
  const failed = async (): Promise<string[]> =>
    told(await read('ham'), folder).filter((line) => line.startsWith('failed'));

  test.each([
    ['pictures', { 'a.png': '\u0089PNG', 'b/c.txt': 'Text.\n' }],
    ['empty files', { a: '', b: '' }],
    ['symbolic links', {}],
  ])('fails: %s', async (what, files) => {
    for (const [name, content] of Object.entries(files)) put(name, content);
    if (what === 'symbolic links') symlinkSync('/etc/hostname', `${folder}/a`);
    expect(await failed()).toEqual([`failed ${folder}: nothing of it is mail`]);
  });

  test('is none that is empty: a folder, a Maildir, a class folder', async () => {
    put('.gitkeep', '');
    expect(await failed()).toEqual([]);
    maildirs({ M: 0 });
    put('M/dovecot-uidlist', '3 V1 N1\n');
    expect(await failed()).toEqual([]);
    put('A/spam/a');
    mkdirSync(`${folder}/A/ham`);
    for (const source of archiveSources([`${folder}/A`], readingOptions())) {
      expect((await readAll(source)).filter(({ kind }) => kind === 'failed')).toEqual([]);
    }
  });

  test('is none whose messages are all passed over, or done before', async () => {
    maildirs({ 'M/.Junk': 2 });
    put('M/1:2,T');
    expect(await failed()).toEqual([]);
    const options = readingOptions({ isDone: () => true });
    const found = await readAll(new PathSource(`${folder}/M/.Junk`, 'ham', options));
    expect(found.map(({ kind }) => kind)).toEqual(['done', 'done']);
  });
});
