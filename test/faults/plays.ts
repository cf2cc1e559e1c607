import { createHash } from 'node:crypto';
import type { Act, FaultRequest, Play } from './fault-server.ts';

/**
 * What a fault server can be told to play: single acts, and rspamd's ordinary behaviour around
 * them. The bytes are those that rspamd 3.4 was heard to send.
 */

/** How an answer departs from the ordinary one. */
interface AnswerOptions {
  /** @defaultValue `application/json`, as rspamd says of all that it sends but `/ping` and 404 */
  readonly type?: string;
  readonly headers?: readonly string[];
  /** Leaves the length out: the body ends where the connection does. */
  readonly withoutLength?: boolean;
}

/** An ordinary answer: `status` is everything between `HTTP/1.1` and the line's end. */
export function answer(status: string, body = '', options: AnswerOptions = {}): Act {
  const { type = 'application/json', headers = [], withoutLength = false } = options;
  const lines = [
    `HTTP/1.1 ${status}`,
    'Connection: close',
    'Server: rspamd/3.4',
    `Date: ${new Date().toUTCString()}`,
    ...(withoutLength ? [] : [`Content-Length: ${body.length}`]),
    `Content-Type: ${type}`,
    ...headers,
    'Cache-Control: no-store',
  ];
  return { pieces: [[...lines, '', body].join('\r\n')], then: 'end' };
}

/** As rspamd reports an error: the text is the reason phrase, and in the body once more. */
export function failure(status: number, text: string): Act {
  // rspamd escapes nothing, here neither
  return answer(`${status} ${text}`, `{"error":"${text}"}`);
}

/** These bytes and no others. */
export function raw(bytes: string | Buffer, then: Act['then'] = 'end'): Act {
  return { pieces: [bytes], then };
}

/** Takes the request and never says a word. */
export const SILENCE: Act = { pieces: [], then: 'stay' };
/** Closes without a byte. */
export const CLOSES: Act = { pieces: [], then: 'end' };
export const RESETS: Act = { pieces: [], then: 'reset' };
/** The worker dies, and with it whatever else it was at. */
export const CRASHES: Act = { pieces: [], then: 'crash' };
export const GARBAGE: Act = raw('SSH-2.0-OpenSSH_9.2\r\n\x00\xff\x80 no HTTP at all \r\n\r\n');

/** One byte at a time. */
export function drip(act: Act, everyMs: number): Act {
  const bytes = Buffer.from(bytesOf(act), 'latin1');
  return { pieces: Array.from(bytes, (byte) => Buffer.of(byte)), everyMs, then: act.then };
}

/** The bytes up to the end of `last`, where that occurs first, and no more. */
export function cut(act: Act, last: string, then: Act['then'] = 'end'): Act {
  const bytes = bytesOf(act);
  return { pieces: [bytes.slice(0, bytes.indexOf(last) + last.length)], then };
}

/** An answer with a body of `megabytes`, made while it is sent. */
export function flood(status: string, megabytes: number): Act {
  const megabyte = Buffer.alloc(1 << 20, 'x');
  const pieces = {
    *[Symbol.iterator](): Generator<string | Buffer> {
      yield `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${megabytes << 20}\r\n\r\n`;
      for (let i = 0; i < megabytes; i += 1) yield megabyte;
    },
  };
  return { pieces, then: 'end' };
}

function bytesOf({ pieces }: Act): string {
  return [...pieces]
    .map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1')))
    .join('');
}

// --- rspamd's ordinary behaviour

export const SUCCESS: Act = answer('200 OK', '{"success":true}');
export const PONG: Act = answer('200 OK', 'pong\r\n', { type: 'text/plain' });
export const NOT_FOUND: Act = answer('404 Not found', 'Not found', { type: 'text/plain' });
export const UNAUTHORIZED: Act = answer('401 Unauthorized', '{"error":"Unauthorized"}');

export function alreadyLearned(messageId: string, verdict: string): Act {
  return failure(208, `<${messageId}> has been already learned as ${verdict}, ignore it`);
}

/** `/stat` with so many learned messages of each class. */
export function statistics(spam: number, ham: number, uptime = 100): Act {
  const statfiles = [
    { revision: spam, used: 0, total: 0, size: 0, symbol: 'BAYES_SPAM', type: 'redis' },
    { revision: ham, used: 0, total: 0, size: 0, symbol: 'BAYES_HAM', type: 'redis' },
  ];
  return answer('200 OK', JSON.stringify({ version: '3.4', uptime, statfiles }));
}

/** What a test replaces of rspamd's behaviour. */
interface Rule {
  readonly when: (request: FaultRequest) => boolean;
  readonly act: Act | Play;
  /** The rule counts so often. @defaultValue always */
  readonly times?: number;
}

/**
 * Answers by the first rule that fits, and like rspamd where none does: a message is learned with
 * 200 and then known with 208, the other verdict learns it anew.
 */
export function plays(...rules: readonly Rule[]): Play {
  const rspamd = remembering();
  const left = new Map(rules.map((rule) => [rule, rule.times ?? Infinity]));
  return (request) => {
    const rule = rules.find((each) => (left.get(each) ?? 0) > 0 && each.when(request));
    if (rule === undefined) return rspamd(request);
    left.set(rule, (left.get(rule) ?? 0) - 1);
    return typeof rule.act === 'function' ? rule.act(request) : rule.act;
  };
}

/** The same for every request. */
export function always(act: Act): Play {
  return () => act;
}

/** Posts that teach a message. */
export function learns({ path }: FaultRequest): boolean {
  return /\/learn(spam|ham)$/.test(path);
}

/** Posts of a message that has this text in it. */
export function mentions(text: string): (request: FaultRequest) => boolean {
  return (request) => learns(request) && request.body.includes(text);
}

/** Posts that tell a password other than this one. */
export function lacks(password: string): (request: FaultRequest) => boolean {
  return (request) => learns(request) && request.headers['password'] !== password;
}

function remembering(): Play {
  const known = new Map<string, string>();
  return ({ path, body }) => {
    const [, verdict] = /\/learn(spam|ham)$/.exec(path) ?? [];
    if (verdict !== undefined) {
      const id = createHash('sha256').update(body).digest('hex');
      if (known.get(id) === verdict) return alreadyLearned(messageIdOf(body), verdict);
      known.set(id, verdict);
      return SUCCESS;
    }
    if (path.endsWith('/ping')) return PONG;
    if (!path.endsWith('/stat')) return NOT_FOUND;
    const verdicts = [...known.values()];
    const spam = verdicts.filter((each) => each === 'spam').length;
    return statistics(spam, verdicts.length - spam);
  };
}

export function messageIdOf(body: Buffer): string {
  return /^Message-ID: <(.*)>\r?$/m.exec(body.toString('latin1'))?.[1] ?? 'undef';
}
