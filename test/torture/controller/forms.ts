import { gzipSync } from 'node:zlib';
import type { Act } from '../../faults/fault-server.ts';
import { GARBAGE, SILENCE, answer, drip, failure, flood, raw } from '../../faults/plays.ts';
import { insteadOf } from '../proxy.ts';
import type { Exchange, Fault } from '../proxy.ts';

/**
 * The forms in which a controller, or what lies between it and the daemon, can fail. None of them is
 * an answer that the table of answers reads as the message's own end (204, 208, 413 and an empty
 * message): whatever they do, the message has to be learned when they are over.
 */
export interface Form {
  readonly name: string;
  /** What is done to the connections, by turns. */
  readonly faults: readonly Fault[];
  /** A post takes as long as the daemon waits, or a probe as long as the proof. */
  readonly slow?: 'post' | 'proof';
}

const SLOW = { slow: 'post' } as const;

// --- where

type Position = readonly [where: string, bytes: (text: Buffer) => number];

function headEnd(text: Buffer): number {
  return text.indexOf('\r\n\r\n') + 4;
}

function firstLine(text: Buffer): number {
  return text.indexOf('\r\n') + 2;
}

/** One of each class of positions in a request or an answer. */
const POSITIONS: readonly Position[] = [
  ['before its first byte', () => 0],
  ['in its first line', () => 7],
  ['between two headers', firstLine],
  ['in a header', (text) => firstLine(text) + 4],
  ['before the empty line', (text) => headEnd(text) - 2],
  ['between head and body', headEnd],
  ['in its body', (text) => headEnd(text) + Math.floor((text.length - headEnd(text)) / 2)],
  ['before its last byte', (text) => text.length - 1],
];

const ENDS: readonly (readonly [name: string, then: Act['then']])[] = [
  ['is reset', 'reset'],
  ['is closed', 'end'],
  ['hangs', 'stay'],
];

// --- the connection

function requestBreaks(): Form[] {
  return POSITIONS.flatMap(([where, hears]) =>
    ENDS.map(([how, then]) => ({
      name: `the request ${how} ${where}`,
      faults: [exchange(hears, () => ({ pieces: [], then }))],
      ...(then === 'stay' ? SLOW : {}),
    })),
  );
}

function answerBreaks(): Form[] {
  const upTo = (bytes: Position[1], then: Act['then'], more = Buffer.alloc(0)): Fault =>
    exchange(all, (text) => ({
      pieces: [Buffer.concat([text.subarray(0, bytes(text)), more])],
      then,
    }));
  const garbage = Buffer.from([...GARBAGE.pieces].join(''), 'latin1');
  const whole: Position = ['after its last byte', (text) => text.length];
  return [...POSITIONS, whole].flatMap(([where, bytes]) => [
    ...ENDS.map(([how, then]) => ({
      name: `the answer ${how} ${where}`,
      faults: [upTo(bytes, then)],
      ...(then === 'stay' ? SLOW : {}),
    })),
    { name: `the answer turns into garbage ${where}`, faults: [upTo(bytes, 'end', garbage)] },
  ]);
}

function intrusions(): Form[] {
  const acts: readonly (readonly [string, Act])[] = [
    ['is reset', { pieces: [], then: 'reset' }],
    ['is closed', { pieces: [], then: 'end' }],
    ['gets garbage', GARBAGE],
    ['gets a 500', failure(500, 'no time for that')],
    ['gets nothing', SILENCE],
  ];
  return [0, 1, 200].flatMap((reads) =>
    acts.map(([how, act]) => ({
      name: `the connection ${how} after ${reads} bytes`,
      faults: [{ kind: 'intrusion', reads, act } as const],
      ...(act.then === 'stay' ? SLOW : {}),
    })),
  );
}

function drips(): Form[] {
  const dripping = (text: Buffer): Act => drip(raw(text), 50);
  const endless: Act = {
    pieces: repeated('HTTP/1.1 100 Continue\r\n\r\n', 1_000),
    everyMs: 20,
    then: 'stay',
  };
  return [
    { name: 'the answer drips', faults: [exchange(all, dripping)], ...SLOW },
    instead('interim answers without end', endless, SLOW),
  ];
}

// --- answers of others

const REDIRECTS = [300, 301, 302, 303, 305, 306, 307, 308, 310, 399] as const;
const CLIENT_ERRORS = range(400, 499).filter((status) => status !== 413);
/** Successes, but none that rspamd is known to answer. */
const OTHER_SUCCESSES = [201, 202, 203, 205, 206, 207, 226, 299] as const;
const TIMES = ['0', '-1', '1', '99999999999999999999999999', '1e308', 'NaN', 'soon', ''];
const DATES = ['Thu, 01 Jan 1970 00:00:00 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT'];

function statuses(elsewhere: string): Form[] {
  const headers = [`Location: ${elsewhere}/learnspam`, `Refresh: 0; url=${elsewhere}/learnspam`];
  const redirect = (status: number): Act =>
    answer(`${status} Elsewhere`, `<a href="${elsewhere}">there</a>`, { headers });
  const late = [...TIMES, ...DATES].flatMap((value) =>
    [429, 503].map((status) =>
      answer(`${status} Later`, '', { headers: [`Retry-After: ${value}`] }),
    ),
  );
  return [
    inTurn('every redirect to another host', REDIRECTS.map(redirect)),
    inTurn(
      'every 4xx',
      CLIENT_ERRORS.map((status) => failure(status, `Error ${status}`)),
    ),
    inTurn(
      'every 5xx',
      range(500, 599).map((status) => failure(status, `Error ${status}`)),
    ),
    inTurn(
      'successes that rspamd does not know',
      OTHER_SUCCESSES.map((status) => answer(`${status} Fine`, '{"success":true}')),
    ),
    inTurn('Retry-After of all kinds', late),
    ...[302, 307, 308].map((status) => instead(`a ${status} to another host`, redirect(status))),
    ...[400, 401, 403, 404, 429, 500, 502, 503].map((status) =>
      instead(`always ${status}`, failure(status, 'so it is')),
    ),
    instead('Redis full', failure(500, "OOM command not allowed when used memory > 'maxmemory'.")),
    { ...inTurn('always 200', [answer('200 OK', '{"success":true}')]), slow: 'proof' },
  ];
}

/** What is no HTTP, or nearly HTTP. */
function nearlyHttp(): Form[] {
  const body = '{"success":true}';
  const texts: Readonly<Record<string, string>> = {
    'a status of no digits': 'HTTP/1.1  OK\r\n\r\n',
    'a status of five digits': 'HTTP/1.1 20000 OK\r\n\r\n',
    'status 0': 'HTTP/1.1 0 OK\r\n\r\n',
    'status 99': 'HTTP/1.1 99 OK\r\n\r\n',
    'another protocol': `ICY 200 OK\r\n\r\n${body}`,
    'another version': `HTTP/3.9 500 Well\r\n\r\n${body}`,
    'no head': body,
    'empty lines': '\r\n\r\n\r\n\r\n',
    'a header without a colon': `HTTP/1.1 500 Well\r\nno colon here\r\n\r\n${body}`,
    'a NUL in the reason': `HTTP/1.1 500 W\0ell\r\n\r\n${body}`,
    'two lengths': 'HTTP/1.1 500 W\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'a negative length': 'HTTP/1.1 500 W\r\nContent-Length: -1\r\n\r\nab',
    'an endless length': 'HTTP/1.1 500 W\r\nContent-Length: 99999999999999999999\r\n\r\nab',
    'a length and chunks':
      'HTTP/1.1 500 W\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
    'a chunk of no size': 'HTTP/1.1 500 W\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n',
    'an endless chunk':
      'HTTP/1.1 500 W\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab',
    'an upgrade': 'HTTP/1.1 101 Switching\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\nxyz',
    'a broken gzip': 'HTTP/1.1 500 W\r\nContent-Encoding: gzip\r\n\r\nno gzip',
  };
  return Object.entries(texts).map(([name, text]) => instead(name, raw(text)));
}

// --- too much

const MEGABYTES = 600;

function floods(): Form[] {
  const long = 'x'.repeat(64 * 1024);
  const lines = 'X-Filler: and so on and so on and so on\r\n';
  return [
    instead('a reason of 64 KB', failure(500, long)),
    instead('a header of 64 KB', answer('500 Long', '', { headers: [`X-Long: ${long}`] })),
    instead('a header of 400 KB', answer('500 L', '', { headers: [`X-L: ${long.repeat(6)}`] })),
    instead('headers without end', {
      pieces: repeated('HTTP/1.1 500 Endless\r\n', 1, lines.repeat(1_000), 15_000),
      then: 'end',
    }),
    ...['500 Endless', '404 Endless', '302 Endless', '201 Endless'].map((status) =>
      instead(`a body of ${MEGABYTES} MB with ${status.slice(0, 3)}`, flood(status, MEGABYTES)),
    ),
    instead(`chunks of ${MEGABYTES} MB`, {
      pieces: repeated(
        'HTTP/1.1 500 Endless\r\nTransfer-Encoding: chunked\r\n\r\n',
        1,
        `100000\r\n${'x'.repeat(1 << 20)}\r\n`,
        MEGABYTES,
      ),
      then: 'end',
    }),
    instead('a gzip bomb', gzipBomb()),
  ];
}

/** Some hundred kilobytes that unpack to 600 MB. */
function gzipBomb(): Act {
  // gzip members may follow each other: what one packs, many pack many times
  const member = gzipSync(Buffer.alloc(10 << 20), { level: 9 });
  const packed = Buffer.concat(Array.from({ length: MEGABYTES / 10 }, () => member));
  const head = 'HTTP/1.1 500 Bomb\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n';
  return { pieces: [`${head}Content-Length: ${packed.length}\r\n\r\n`, packed], then: 'end' };
}

function repeated(first: string, times: number, rest = '', more = 0): Act['pieces'] {
  return {
    *[Symbol.iterator](): Generator<string> {
      for (let i = 0; i < times; i += 1) yield first;
      for (let i = 0; i < more; i += 1) yield rest;
    },
  };
}

// --- making forms

const all = (): number => Infinity;

function exchange(hears: Exchange['hears'], says: Exchange['says']): Exchange {
  return { kind: 'exchange', hears, says };
}

/** An answer that isn't rspamd's; where it heard the message, it has learned it all the same. */
function instead(name: string, act: Act, how: Pick<Form, 'slow'> = {}): Form {
  return { name, faults: [insteadOf(act), exchange(all, () => act)], ...how };
}

function inTurn(name: string, acts: readonly Act[]): Form {
  return { name, faults: acts.map(insteadOf) };
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/**
 * All forms.
 * @param elsewhere the URL of another host, which no byte must reach
 */
export function allForms(elsewhere: string): readonly Form[] {
  return [
    ...requestBreaks(),
    ...answerBreaks(),
    ...intrusions(),
    ...drips(),
    ...statuses(elsewhere),
    ...nearlyHttp(),
    ...floods(),
  ];
}
