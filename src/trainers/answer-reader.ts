import type { IncomingHttpHeaders } from 'node:http';

/**
 * Reads one answer from the bytes of a connection that carries no other one. It takes what Node's
 * parser refuses and rspamd sends: a body behind 204, an errno of its Redis connection where the status
 * belongs (101 and 110 among them, which HTTP has for interim answers), a Message-ID of any length in
 * the reason phrase.
 */

/** An answer whose status line was understood. */
export interface Answer {
  readonly status: number;
  /** The reason phrase. */
  readonly reason: string;
  /** The body, as much of it as was read; nothing of a learning post's that is a success. */
  readonly text: string;
  readonly headers: Readonly<IncomingHttpHeaders>;
}

/** What came instead of an answer. */
export interface Fault {
  /** The system's, Node's or got's error code. */
  readonly code: string;
}

/** As much of an answer's body as is read. */
export const MAX_ANSWER_BYTES = 65_536;

/** Postfix passes headers of 100 KB on, and rspamd repeats the Message-ID in its reason phrase. */
const MAX_HEAD_BYTES = 262_144;
const END_OF_HEAD = '\r\n\r\n';
const START = 'HTTP/';
/** Another answer follows these, if an HTTP server means them. */
const INTERIM = [100, 102, 103];

export class AnswerReader {
  readonly #successBytes: number;
  /** What came and is not yet understood, then the body; Latin-1. */
  #received = '';
  #head: Answer | undefined;
  #isNoHttp = false;

  /**
   * @param successBytes as much of the body of a success as is wanted; 0: its head says all, and rspamd's
   *   204 has a body as well
   */
  constructor(successBytes = 0) {
    this.#successBytes = successBytes;
  }

  /** @returns whether nothing more is wanted */
  take(bytes: string): boolean {
    this.#received += bytes;
    while (this.#head === undefined) {
      const end = this.#received.indexOf(END_OF_HEAD);
      const isCut = end === -1 && this.#received.length < MAX_HEAD_BYTES;
      // Another service says a line, and may wait for ours then.
      if (isCut && mayBeHttp(this.#received)) return false;
      const head = parseHead(end === -1 ? this.#received : this.#received.slice(0, end));
      this.#isNoHttp = head === undefined;
      if (head === undefined) return true;
      this.#received = end === -1 ? '' : this.#received.slice(end + END_OF_HEAD.length);
      if (!INTERIM.includes(head.status)) this.#head = head;
    }
    return this.#isWhole(this.#head);
  }

  /**
   * What came, where nothing more does: of a body that breaks off as much as there is.
   * @param code why nothing more comes
   */
  end(code: string): Answer | Fault {
    const head = this.#head;
    if (head === undefined) return { code: this.#isNoHttp ? 'NO_HTTP' : code };
    const body = isChunked(head) ? joined(this.#received) : this.#received.slice(0, lengthOf(head));
    return { ...head, text: body.slice(0, this.#mostBytes(head)) };
  }

  #mostBytes({ status }: Answer): number {
    return status >= 200 && status <= 299 ? this.#successBytes : MAX_ANSWER_BYTES;
  }

  #isWhole(head: Answer): boolean {
    if (this.#received.length >= this.#mostBytes(head)) return true;
    // Trailers are rare: then the end of the connection tells.
    if (isChunked(head)) return /(?:^|\r\n)0+\r\n\r\n$/.test(this.#received.slice(-32));
    return this.#received.length >= lengthOf(head);
  }
}

function mayBeHttp(received: string): boolean {
  return received.startsWith(START) || START.startsWith(received);
}

/** `undefined` where it is no HTTP. */
function parseHead(head: string): Answer | undefined {
  const [first = '', ...lines] = head.split('\r\n');
  const [line, status, reason = ''] =
    /^HTTP\/\d\.\d (\d{1,3})(?!\S)(?: ([^\r\n]*))?/.exec(first) ?? [];
  if (line === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const each of lines) {
    const colon = each.indexOf(':');
    if (colon > 0) headers[each.slice(0, colon).toLowerCase()] ??= each.slice(colon + 1).trim();
  }
  return { status: Number(status), reason, text: '', headers };
}

function isChunked({ headers }: Answer): boolean {
  return /\bchunked$/i.test(headers['transfer-encoding'] ?? '');
}

/** Infinity where the body ends with the connection. */
function lengthOf({ headers }: Answer): number {
  const length = headers['content-length'] ?? '';
  return /^\d+$/.test(length) ? Number(length) : Infinity;
}

/** What is in the chunks (RFC 9112, 7.1), as far as they are whole. */
function joined(chunks: string): string {
  let text = '';
  for (let at = 0; at < chunks.length;) {
    const line = chunks.indexOf('\r\n', at);
    const size = Number.parseInt(chunks.slice(at, line), 16);
    if (line === -1 || !(size > 0)) break;
    text += chunks.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
  return text;
}
