import { describe, expect, test } from 'vitest';
import { AnswerReader } from '../../src/trainers/answer-reader.ts';

/** What comes of these bytes, and whether more would have been wanted; `by` at a time. */
function read(bytes: string, by = bytes.length) {
  const reader = new AnswerReader(100);
  let isOver = false;
  for (let at = 0; at < bytes.length && !isOver; at += by) {
    isOver = reader.take(bytes.slice(at, at + by));
  }
  return { isOver, answer: reader.end('ENDED') };
}

const CHUNKED = 'HTTP/1.1 500 Odd\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('an answer', () => {
  test.each([1, 7, 1_000])('is the same by %i bytes at a time', (by) => {
    const bytes = 'HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 500 a b\r\nContent-length:3\r\n\r\nabcd';
    const { isOver, answer } = read(bytes, by);
    expect(isOver).toBe(true);
    const headers = { 'content-length': '3' };
    expect(answer).toEqual({ status: 500, reason: 'a b', text: 'abc', headers });
  });

  test.each([
    ['in one', `${CHUNKED}5\r\n{"a":\r\n2;x=y\r\n1}\r\n0\r\n\r\n`, '{"a":1}', true],
    ['that break off', `${CHUNKED}3\r\nabc\r\n5\r\nde`, 'abcde', false],
    ['that are none', `${CHUNKED}abc`, '', false],
    ['without any', `${CHUNKED}0\r\n\r\n`, '', true],
  ])('may come in chunks: %s', (_, bytes, text, isWhole) => {
    for (const by of [1, 1_000]) {
      const { isOver, answer } = read(bytes, by);
      expect({ answer, isOver }).toMatchObject({ answer: { text }, isOver: isWhole });
    }
  });

  test('ends with the connection where it has no length, and at the limit', () => {
    const text = 'x'.repeat(1_000);
    const error = read(`HTTP/1.1 500 Odd\r\n\r\n${text}`);
    expect(error).toMatchObject({ isOver: false, answer: { text } });
    const success = read(`HTTP/1.1 200 OK\r\n\r\n${text}`, 10);
    expect(success).toMatchObject({ isOver: true, answer: { text: 'x'.repeat(100) } });
  });
});

test('what is cut off in its head is no answer', () => {
  expect(read('HTTP/1.1 500 Odd\r\nServer: x\r\n').answer).toEqual({ code: 'ENDED' });
});
