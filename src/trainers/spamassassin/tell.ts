import { connect, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { codeOf } from '../../errors.ts';
import type { SpamdAddress } from '../../spamd-address.ts';
import type { Verdict } from '../../verdict.ts';

/**
 * One TELL of spamd's protocol (spamd/PROTOCOL, tried on 4.0.1 and 4.0.3): one request a connection,
 * the message's own bytes, then a half-close. spamd reads lines, and may wait for the end of the last
 * one until its child's time is up; a line break that we added would make it another message.
 *
 * What the answer means is for `answers.ts` to say. Nothing here retries.
 */

export interface SpamdClientOptions {
  readonly address: Pick<SpamdAddress, 'name' | 'host' | 'port' | 'tls'> & {
    /** A Unix socket, instead of host and port. */
    readonly socketPath?: string | undefined;
  };
  /** Certificates (PEM) of the authorities to trust, instead of the system's. */
  readonly ca?: string | undefined;
  /** Whose Bayes it is: spamd's `User` header. No control characters. */
  readonly user: string | undefined;
  /** Milliseconds for one whole TELL; 30 s is well above what spamd waits for a lock. */
  readonly timeoutMs: number;
}

/** Where a message is learned or reported: Bayes, or the reporting networks. */
type Database = 'local' | 'remote';

/** What is told. With neither `set` nor `remove` it is a question: whether TELL is allowed at all. */
export interface Telling {
  readonly body: Buffer;
  readonly set?: Database;
  readonly remove?: Database;
  /** Needed with `set`: spamd takes any other word, and a missing one, for ham. */
  readonly verdict?: Verdict;
}

/** A whole answer. */
export interface TellAnswer {
  readonly kind: 'answer';
  /** spamd's response code: 0, or one of sysexits.h. */
  readonly code: number;
  /** The words after the code. */
  readonly text: string;
  /** It says that it did what it was told: learned, reported or forgot. */
  readonly did: boolean;
}

/** What came instead of one. */
export interface TellFault {
  readonly kind: 'fault';
  /**
   * The system's, Node's or OpenSSL's error code; or `CLOSED`: closed or reset without a byte,
   * `INCOMPLETE`: closed in the middle of the answer, `NOT_SPAMD`: the answer of another service,
   * `ABORTED`: by us.
   */
  readonly code: string;
  /** What was received, as far as it was read. */
  readonly text: string;
  /**
   * It was sent whole, so that spamd may carry it out later. Resolves when it has, or can't any more:
   * its end of the connection is closed; or after an hour.
   */
  readonly late?: Promise<void>;
}

export type TellResult = TellAnswer | TellFault;

/** As much of an answer as is read. */
const MAX_ANSWER_BYTES = 4_096;
/** A child that has been frozen for so long is not expected to wake. */
const LATEST_MS = 3_600_000;
/**
 * The half-close by TLS waits for so long. In TLS 1.3 a server sends its session tickets behind the
 * handshake; OpenSSL 3.0 reads nothing more when one comes after our own close, the answer included.
 */
const TICKETS_MS = 1_000;
const GREETING = 'SPAMD/';

export class SpamdClient {
  readonly #options: SpamdClientOptions;

  constructor(options: SpamdClientOptions) {
    this.#options = options;
  }

  /** Sends one TELL. Never rejects. One that is aborted, or takes too long, may be carried out later. */
  tell(telling: Telling, signal: AbortSignal): Promise<TellResult> {
    if (signal.aborted) return Promise.resolve(faultOf('ABORTED', ''));
    return new Promise((resolve) => {
      const socket = this.#connect();
      let received = '';
      let isSettled = false;
      const release = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
      };
      const settle = (code: string): void => {
        if (isSettled) return;
        isSettled = true;
        release();
        socket.destroy();
        resolve(resultOf(telling, received, code));
      };
      const giveUp = (code: string): void => {
        // spamd carries out nothing but whole messages.
        const isOwed = isOrder(telling) && received === '' && socket.writableFinished;
        if (code === 'ABORTED') received = '';
        release();
        if (isOwed) resolve({ ...faultOf(code, ''), late: untilClosed(socket) });
        else settle(code);
      };
      const abort = (): void => giveUp('ABORTED');
      const timer = setTimeout(giveUp, this.#options.timeoutMs, 'ETIMEDOUT');
      signal.addEventListener('abort', abort);
      socket.on('data', (chunk: Buffer) => {
        received = (received + chunk.toString('latin1')).slice(0, MAX_ANSWER_BYTES);
        if (received.length === MAX_ANSWER_BYTES || !mayBeSpamd(received)) settle('INCOMPLETE');
      });
      for (const end of ['end', 'close'] as const) {
        socket.on(end, () => settle('CLOSED'));
      }
      socket.on('error', (error) => settle(codeOf(error) ?? 'UNKNOWN'));
      socket.cork();
      socket.write(this.#head(telling));
      if (!this.#options.address.tls) {
        socket.end(telling.body);
        return;
      }
      socket.write(telling.body);
      socket.uncork();
      socket.on('secureConnect', () => setTimeout(() => socket.end(), TICKETS_MS).unref());
    });
  }

  #connect(): Socket {
    const { address, ca } = this.#options;
    const { host, port, socketPath, tls } = address;
    const to = socketPath === undefined ? { host, port } : { path: socketPath };
    if (!tls) return connect(to);
    return connectTls({
      ...to,
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
    });
  }

  /** Names of headers are case-sensitive, `Content-length` included; of values none is checked. */
  #head({ body, set, remove, verdict }: Telling): string {
    const { user } = this.#options;
    const headers = [
      'TELL SPAMC/1.5',
      ...(verdict === undefined ? [] : [`Message-class: ${verdict}`]),
      ...(set === undefined ? [] : [`Set: ${set}`]),
      ...(remove === undefined ? [] : [`Remove: ${remove}`]),
      ...(user === undefined ? [] : [`User: ${user}`]),
      `Content-length: ${body.length}`,
    ];
    return `${headers.join('\r\n')}\r\n\r\n`;
  }
}

/** Else it is a question. */
function isOrder({ set, remove }: Telling): boolean {
  return (set ?? remove) !== undefined;
}

/** Keeps a connection, but not the process. What still comes is dropped. */
function untilClosed(socket: Socket): Promise<void> {
  socket.unref();
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), LATEST_MS).unref();
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function mayBeSpamd(received: string): boolean {
  return received.startsWith(GREETING) || GREETING.startsWith(received);
}

/** A whole answer counts, whatever came after it: a reset may follow. */
function resultOf(telling: Telling, received: string, code: string): TellResult {
  if (!mayBeSpamd(received)) return faultOf('NOT_SPAMD', received);
  const answer = parseAnswer(telling, received);
  if (answer !== undefined) return answer;
  const isEnded = /^(CLOSED|ECONNRESET|EPIPE)$/.test(code);
  if (!isEnded) return faultOf(code, received);
  return faultOf(received === '' ? 'CLOSED' : 'INCOMPLETE', received);
}

function faultOf(code: string, text: string): TellFault {
  return { kind: 'fault', code, text };
}

/** Reads an answer; `undefined` unless all of it is there. Errors have no headers and no blank line. */
function parseAnswer({ set, remove }: Telling, received: string): TellAnswer | undefined {
  const [line, digits, text = ''] =
    /^SPAMD\/\d+\.\d+ (\d{1,3}) ([^\r\n]*)\r?\n/.exec(received) ?? [];
  if (line === undefined) return undefined;
  const end = received.indexOf('\r\n\r\n');
  const code = Number(digits);
  if (code === 0 && end === -1) return undefined;
  const headers = end === -1 ? '' : received.slice(0, end);
  const [header, database] = set === undefined ? ['DidRemove', remove] : ['DidSet', set];
  const listed = new RegExp(`\\r\\n${header}: ([^\\r\\n]*)`).exec(headers)?.[1];
  const did = listed?.split(/, */).some((each) => each === database) === true;
  return { kind: 'answer', code, text, did };
}
