import type { ControllerAddress, RspamdConfig } from '../config.ts';
import { codeOf } from '../errors.ts';
import type { Secret } from '../secret.ts';
import type { IncomingMessage } from 'node:http';

/** What the learning post and the pages share: whom they talk to, as whom, and what is kept of it. */
export interface ConnectionOptions extends Omit<RspamdConfig, 'controllers'> {
  readonly controller: ControllerAddress;
  /** Milliseconds for one whole request; the only thing that stops an answer that drips. */
  readonly timeoutMs: number;
}

/** An answer with a status line that Node.js understood. */
export interface Answer {
  readonly status: number;
  /** The reason phrase. */
  readonly reason: string;
  /** The body, as much of it as was read; nothing of a learning post's that is a success. */
  readonly text: string;
  /** The `Date`, `Server` and `Retry-After` headers. */
  readonly date?: string | undefined;
  readonly server?: string | undefined;
  readonly retryAfter?: string | undefined;
}

/** What came instead of an answer. */
export interface Fault {
  /** The system's, Node's or got's error code. */
  readonly code: string;
  /** What was received, where the parser choked on it. */
  readonly text: string;
}

/** As much of an answer's body as is read. */
export const MAX_ANSWER_BYTES = 65_536;

/** The headers of every request. */
export function requestHeaders(password: Secret): Record<string, string> {
  const header = password.header();
  return { 'user-agent': 'kopano-learnd', ...(header === undefined ? {} : { password: header }) };
}

/** What the head of an answer says; its body comes later, if at all. */
export function answerOf(head: AnswerHead): Answer {
  const { statusCode = 0, statusMessage = '', headers } = head;
  return {
    status: statusCode,
    reason: statusMessage,
    text: '',
    date: headers.date,
    server: only(headers['server']),
    retryAfter: only(headers['retry-after']),
  };
}

function only(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export type AnswerHead = Pick<IncomingMessage, 'statusCode' | 'statusMessage' | 'headers'>;

/** All of an error that is needed: its code, and what was received where the parser choked on it. */
export function faultOf(error: unknown): Fault {
  const code = codeOf(error) ?? 'UNKNOWN';
  const received = rawPacketOf(error);
  const text = Buffer.isBuffer(received) ? received.subarray(0, 1024).toString('latin1') : '';
  return { code, text };
}

/** Node's parser leaves it with its error, which got wraps into one of its own. */
function rawPacketOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  return 'rawPacket' in error ? error.rawPacket : rawPacketOf(error.cause);
}
