import { expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { isAddress, userByFields } from '../src/user.ts';

function userIn(headers: string, fields = ['X-Kopano-User', 'Delivered-To']): string | undefined {
  return userByFields(fields)?.(Buffer.from(`${headers}\r\n\r\nDelivered-To: body@x.org\r\n`));
}

test.each<[string, string, string | undefined]>([
  ['an address', 'X-Kopano-User: alice@x.org', 'alice@x.org'],
  ['the field in any case', 'x-KOPANO-user:alice@x.org', 'alice@x.org'],
  ['the first field of the list', 'Delivered-To: b@x.org\r\nX-Kopano-User: a@x.org', 'a@x.org'],
  ['the next field', 'X-Kopano-User: alice\r\nDelivered-To: b@x.org', 'b@x.org'],
  ['the last delivery', 'Delivered-To: last@x.org\r\nDelivered-To: first@x.org', 'last@x.org'],
  ['an address behind a name', 'Delivered-To: Alice A. <alice@x.org>', 'alice@x.org'],
  ['no address in a name', 'Delivered-To: "c@y.org" <alice@x.org>', 'alice@x.org'],
  ['no address in a comment', 'Delivered-To: (c@y.org) alice@x.org', 'alice@x.org'],
  ['the first of several', 'Delivered-To: not one, a@x.org; b@x.org', 'a@x.org'],
  ['a folded field', 'Delivered-To:\r\n alice@x.org', 'alice@x.org'],
  ['lines that end in LF alone', 'Delivered-To:\n\talice@x.org\nTo: b@x.org', 'alice@x.org'],
  ['an address with a detail', 'Delivered-To: alice+lists@x.org', 'alice+lists@x.org'],
  ['no other field', 'To: b@x.org\r\nX-Delivered-To: c@x.org', undefined],
  ['nothing behind the headers', 'Subject: none', undefined],
  ['no address without a domain', 'Delivered-To: alice@', undefined],
  ['nothing but ASCII', 'Delivered-To: jürgen@x.org', undefined],
  ['no empty address', 'Delivered-To: <>', undefined],
])('finds %s', (_, headers, user) => expect(userIn(headers)).toBe(user));

test('a name of a field is no pattern', () => {
  expect(userIn('DeliveredXTo: a@x.org\r\nDelivered.To: b@x.org', ['Delivered.To'])).toBe(
    'b@x.org',
  );
});

test('nothing that could end a header line is an address', () => {
  for (const text of [
    'a@x.org\r\nPassword: b',
    'a@x.org ',
    'a b@x.org',
    '@x.org',
    `${'a'.repeat(65)}@x`,
  ]) {
    expect(isAddress(text)).toBe(false);
  }
});

test.each([
  ['quotes and brackets', '"('.repeat(250_000) + '<a'.repeat(250_000)],
  ['a name that does not end', `"${'\\"'.repeat(500_000)}`],
  ['a comment that does not end', `(${'\\('.repeat(500_000)}`],
])('a header of a megabyte takes no time to speak of: %s', (_, value) => {
  const startedAt = performance.now();
  expect(userIn(`Delivered-To: ${value}`)).toBeUndefined();
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

test('LEARN_USER_HEADER is a list of field names', () => {
  const fieldsOf = (value: string): readonly string[] =>
    loadConfig({ LEARN_USER_HEADER: value }).learning.userFields;
  expect(fieldsOf(' X-Kopano-User , Delivered-To')).toEqual(['X-Kopano-User', 'Delivered-To']);
  expect(fieldsOf('')).toEqual([]);
  for (const value of ['Delivered-To:', 'a b', ',', 'Ü']) {
    expect(() => fieldsOf(value)).toThrow(/LEARN_USER_HEADER must name header fields/);
  }
});
