import { describe, expect, test } from 'vitest';
import { AnswerReader } from '../../src/trainers/answer-reader.ts';
import type { Answer, Fault } from '../../src/trainers/connection.ts';

/** What comes of these bytes, and whether more would have been wanted; `by` at a time. */
function read(bytes: string, { by = bytes.length, mostBytes = 100 } = {}) {
  const reader = new AnswerReader({ isRead: () => true, mostBytes });
  let isOver = false;
  for (let at = 0; at < bytes.length && !isOver; at += by) {
    isOver = reader.take(bytes.slice(at, at + by));
  }
  return { isOver, answer: reader.end('ENDED') };
}

function textOf(answer: Answer | Fault): string {
  return answer.text;
}

const CHUNKED = 'HTTP/1.1 500 Odd\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('an answer', () => {
  test.each([1, 7, 1_000])('is the same by %i bytes at a time', (by) => {
    const bytes = 'HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 500 a b\r\nContent-length:3\r\n\r\nabcd';
    const { isOver, answer } = read(bytes, { by });
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
      const { isOver, answer } = read(bytes, { by });
      expect([textOf(answer), isOver]).toEqual([text, isWhole]);
    }
  });

  test('ends with the connection where it has no length, and at the limit', () => {
    const head = 'HTTP/1.1 500 Odd\r\n\r\n';
    expect(read(`${head}abc`)).toMatchObject({ isOver: false, answer: { text: 'abc' } });
    const long = read(head + 'x'.repeat(1_000), { by: 10 });
    expect(long).toMatchObject({ isOver: true, answer: { text: 'x'.repeat(100) } });
  });
});

test('what is cut off in its head is no answer', () => {
  expect(read('HTTP/1.1 500 Odd\r\nServer: x\r\n').answer).toEqual({ code: 'ENDED', text: '' });
});
