import { describe, expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
import {
  bodiesOf,
  inPieces,
  mail,
  mboxOf,
  readAll,
  readingOptions,
  subjectOf,
  told,
} from '../../support/relearn-sources.ts';

/** The forms that mail comes in beside plain messages and mboxes. */

async function read(content: string, piece = 64 * 1024): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, piece);
  return readAll(new PathSource('-', 'spam', readingOptions({ stdin })));
}

async function bodies(content: string): Promise<string[]> {
  const whole = bodiesOf(await read(content));
  for (const piece of [1, 5, 17, 100]) expect(bodiesOf(await read(content, piece))).toEqual(whole);
  return whole;
}

const MARK = '\u00ef\u00bb\u00bf';

describe('a byte order mark', () => {
  test.each([
    ['a message', mail('one'), [mail('one')]],
    ['a message of CRLF lines', mail('one').replaceAll('\n', '\r\n'), undefined],
    ['an mbox', mboxOf([mail('one'), mail('two')]), [mail('one'), mail('two')]],
    ['a blank line and a message', `\n${mail('one')}`, [mail('one')]],
  ])('before %s is skipped', async (_name, content, expected) => {
    expect(await bodies(MARK + content)).toEqual(expected ?? [content]);
  });

  test('alone is no mail', async () => {
    expect(told(await read(MARK))).toEqual(['failed -: not a mail message']);
  });
});

describe('a line before a message', () => {
  test.each([
    'Microsoft Mail Internet Headers Version 2.0',
    '+OK 1234 octets',
    '        Tue, 12 Feb 2019 11:12:02 +0100 (CET)',
    '12345',
  ])('is skipped: %s', async (banner) => {
    for (const lineEnd of ['\n', '\r\n']) {
      const message = mail('one').replaceAll('\n', lineEnd);
      expect(await bodies(banner + lineEnd + message)).toEqual([message]);
      expect(await bodies(MARK + banner + lineEnd + message)).toEqual([message]);
    }
  });

  test.each([
    ['a letter', 'Dear reader,\nSubject: to change\nAnd so on.\n\nText.\n'],
    ['a script', `#!/bin/sh\n${mail('one')}`],
    ["IMAP's answer, of which there may be more", `* 1 FETCH (BODY[] {90}\n${mail('one')})\n`],
    ['two lines', `One\nTwo\n${mail('one')}`],
    ['one field alone', 'Notes\nSubject: x\n\nText.\n'],
    ['a header with other lines in it', 'Notes\nFrom: a\nSubject: x\nnothing\nTo: b\n\nText.\n'],
  ])('is none in %s', async (_name, content) => {
    expect(told(await read(content))).toEqual(['failed -: not a mail message']);
  });
});

test('what a POP3 server sent ends before its dot, and has no other dot doubled', async () => {
  const sent = mail('one', '..\n..dots\n. not first\nend\n');
  const message = mail('one', '.\n.dots\n. not first\nend\n');
  expect(await bodies(`+OK message follows\n${sent}.\n`)).toEqual([message]);
  const crlf = (text: string): string => text.replaceAll('\n', '\r\n');
  expect(await bodies(crlf(`+OK\n${sent}.\n`))).toEqual([crlf(message)]);
});

describe("Apple Mail's .emlx", () => {
  const trailer =
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN">\n<plist version="1.0"><dict/></plist>\n';

  test('is a message of so many bytes and a trailer', async () => {
    const message = mail('one');
    expect(await bodies(`${message.length}      \n${message}${trailer}`)).toEqual([message]);
  });

  test('keeps all of it where the number is another one', async () => {
    const content = mail('one') + trailer;
    for (const number of [5, 99_999]) {
      expect(await bodies(`${number}\n${content}`)).toEqual([content]);
    }
  });
});

describe('what doveadm fetch prints', () => {
  const [one, two, three] = [mail('one'), mail('two', 'No line end.'), mail('three')];
  const messages = [one, two, three];

  test.each([
    ['text', messages.map((each) => `text:\n${each}`).join('')],
    ['uid text', messages.map((each, at) => `uid: ${at}\ntext:\n${each}`).join('\f\n')],
    [
      'mailbox-guid uid date.received text.utf8',
      messages
        .map(
          (each, at) =>
            `mailbox-guid: 10137b01\nuid: ${at}\ndate.received: 2026-11-29 07:55:07\ntext.utf8:\n${each}`,
        )
        .join('\f\n'),
    ],
  ])('is taken apart: %s', async (_name, content) => {
    expect(await bodies(content)).toEqual(messages);
  });

  test('keeps what looks like its own lines, or an mbox, in a text', async () => {
    const odd = mail('odd', 'text:\n\nuid: 1\ntext:\n\n>From x\n\f\nFrom a\nSubject: text:\n');
    expect(await bodies(`uid: 1\ntext:\n${odd}\f\nuid: 2\ntext:\n${one}`)).toEqual([odd, one]);
    expect(await bodies(`text:\n${odd}text:\n${one}`)).toEqual([odd, one]);
  });

  test('may be one message', async () => {
    expect(await bodies(`text:\n${one}`)).toEqual([one]);
  });

  test.each([
    ['hdr', 'hdr:\nFrom: a@example.org\nSubject: one\n\nhdr:\nFrom: b@example.org\n\n'],
    ['uid body', 'uid: 1\nbody:\nSome text.\n'],
    ['-f flow', `uid=1 text=${one}\nuid=2 text=${one}\n`],
    ['-f flow text', `text=${one}`],
    ['-f tab', `uid\ttext\n1\t${one}\t\n`],
    ['-f json', '[{"uid":"1","text":"From: a@example.org\\nSubject: one\\n\\nText.\\n"}]'],
  ])('is refused with the cure where it cannot be: %s', async (_name, content) => {
    expect(told(await read(content))).toEqual([
      'failed -: printed by doveadm fetch without text, or by -f: doveadm fetch -u USER "uid text" mailbox FOLDER | kopano-learnd relearn --spam -',
    ]);
  });

  test('is nothing that only begins so', async () => {
    const message = `text: a field\n${mail('one')}`;
    expect(
      (await read(message)).flatMap((each) => ('body' in each ? [subjectOf(each.body)] : [])),
    ).toEqual(['one']);
  });
});
