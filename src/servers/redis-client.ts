/**
 * One Redis command over one connection: the request and the answer in RESP2.
 *
 * Knows the protocol and nothing else; answers that Redis marks as errors are thrown.
 */
import { connect } from 'node:net';

/** An answer of Redis. */
export type RedisReply = string | number | null | readonly RedisReply[];

/** Redis answered with an error line, such as `LOADING ...` or `ERR ...`. */
export class RedisError extends Error {
  override readonly name = 'RedisError';
}

interface Parsed {
  readonly reply: RedisReply | RedisError;
  readonly next: number;
}

/**
 * Sends one command and resolves with its answer.
 *
 * @param timeoutMs - a silent Redis (frozen, busy) rejects after this long
 * @throws RedisError for an error answer, otherwise the connection's error
 */
export async function redisCommand(
  address: { readonly host: string; readonly port: number },
  args: readonly string[],
  timeoutMs = 5_000,
): Promise<RedisReply> {
  const reply = await new Promise<RedisReply | RedisError>((resolve, reject) => {
    const socket = connect(address);
    let received = Buffer.alloc(0);
    socket.setTimeout(timeoutMs, () => {
      socket.destroy(new Error(`Redis was silent for ${timeoutMs} ms`));
    });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const parsed = parseReply(received, 0);
      if (parsed === undefined) return;
      resolve(parsed.reply);
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('Redis closed the connection without an answer'));
    });
    socket.write(encodeCommand(args));
  });
  if (reply instanceof RedisError) throw reply;
  return reply;
}

function encodeCommand(args: readonly string[]): string {
  const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
  return `*${args.length}\r\n${parts.join('')}`;
}

/** The answer that starts at `start`, or undefined while it is not complete. */
function parseReply(buffer: Buffer, start: number): Parsed | undefined {
  const end = buffer.indexOf('\r\n', start);
  if (end === -1) return undefined;
  const kind = buffer.toString('latin1', start, start + 1);
  const line = buffer.toString('utf8', start + 1, end);
  const next = end + 2;
  switch (kind) {
    case '+':
      return { reply: line, next };
    case '-':
      return { reply: new RedisError(line), next };
    case ':':
      return { reply: Number(line), next };
    case '$':
      return parseBulk(buffer, next, Number(line));
    case '*':
      return parseArray(buffer, next, Number(line));
    default:
      throw new Error(`not a Redis answer: ${kind}${line}`);
  }
}

function parseBulk(buffer: Buffer, start: number, length: number): Parsed | undefined {
  if (length < 0) return { reply: null, next: start };
  const end = start + length;
  if (buffer.length < end + 2) return undefined;
  return { reply: buffer.toString('utf8', start, end), next: end + 2 };
}

function parseArray(buffer: Buffer, start: number, length: number): Parsed | undefined {
  if (length < 0) return { reply: null, next: start };
  const items: RedisReply[] = [];
  let next = start;
  while (items.length < length) {
    const item = parseReply(buffer, next);
    if (item === undefined) return undefined;
    if (item.reply instanceof RedisError) return item;
    items.push(item.reply);
    next = item.next;
  }
  return { reply: items, next };
}
