import { describe, expect, test } from 'vitest';
import { messageStart } from '../../../src/relearn/sources/mail.ts';
import { mail } from '../../support/relearn-sources.ts';

function start(content: string): ReturnType<typeof messageStart> {
  return messageStart(Buffer.from(content, 'latin1'));
}

describe('mail', () => {
  test.each([
    ['a message', mail('one')],
    ['a message of CRLF lines', mail('one').replaceAll('\n', '\r\n')],
    ['a header that never ends', 'Subject: one\n'],
    ['a known field among unknown ones', 'Foo: 1\nBar: 2\n folded\nX-Spam: yes\n\n'],
    ['field names in any case', 'RECEIVED : by x\n\n'],
    ['NUL bytes in its text', `${mail('one')}\u0000`],
  ])('is %s', (_name, content) => {
    expect(start(content)).toEqual({ form: 'message', at: 0, headerAt: 0, lead: '' });
  });

  test('may begin with blank lines and a From_ line', () => {
    expect(start(`\n\r\n${mail('one')}`)).toMatchObject({ at: 3, headerAt: 3, form: 'message' });
    expect(start(`\nFrom a\n${mail('one')}`)).toMatchObject({ at: 1, headerAt: 8, form: 'mbox' });
    expect(start(`From a\n>From b\n${mail('one')}`)?.form).toBe('mbox');
  });

  test.each([
    ['nothing', ''],
    ['blank lines', '\n\n\n'],
    ['text', 'Dear reader,\n\nSubject: to change\n'],
    ['text that begins like an mbox', 'From the beginning\nthere was text.\n'],
    ['fields that no message has', 'Name: x\nVersion: 1\n\nSubject: below\n'],
    ['JSON', '{"Subject": "x"}\n'],
    ['YAML', 'name: x\non: push\n'],
    ['a PNG', '\u0089PNG\r\n\u001a\n'],
    ['binary with a colon', 'X-a:\u0000\nSubject: x\n\n'],
    ['a shell script', '#!/bin/sh\nSubject: x\n'],
    ['a From_ line alone', 'From a@example.org Thu Jan  1 00:00:00 2026'],
  ])('is not %s', (_name, content) => {
    expect(start(content)).toBeUndefined();
  });
});
