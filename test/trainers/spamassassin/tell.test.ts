import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../../src/servers/ports.ts';
import { SpamdClient } from '../../../src/trainers/spamassassin/tell.ts';
import type {
  SpamdClientOptions,
  TellResult,
  Telling,
} from '../../../src/trainers/spamassassin/tell.ts';
import { until } from '../../support/until.ts';
import { NEVER, PATIENCE_MS, addressAt } from './connect.ts';
import { CLOSES, OK, RESETS, SILENCE, ScriptedSpamd } from './scripted-spamd.ts';
import type { Act } from './scripted-spamd.ts';

const BODY = Buffer.from('Subject: hello\n\nno line break at the end');
const SPAM: Telling = { set: 'local', verdict: 'spam', body: BODY };

function clientOf(
  { port }: { readonly port: number },
  options: Partial<SpamdClientOptions> = {},
): SpamdClient {
  const address = addressAt(port);
  return new SpamdClient({ address, user: undefined, timeoutMs: PATIENCE_MS, ...options });
}

/** What comes of a TELL that is answered so. */
async function resultOf(act: Act, options: Partial<SpamdClientOptions> = {}): Promise<TellResult> {
  const spamd = await ScriptedSpamd.start(() => act);
  return clientOf(spamd, options).tell(SPAM, NEVER);
}

/** A client that has half-closed is gone once it no longer takes what is sent. */
async function untilGone({ sockets }: ScriptedSpamd): Promise<void> {
  await until('the client is gone', () => {
    sockets[0]?.write('x');
    return sockets.length === 0;
  });
}

describe('on the wire', () => {
  test.each([
    ['spam', SPAM, 'vmail', ['Message-class: spam', 'Set: local', 'User: vmail']],
    [
      'ham',
      { set: 'local', verdict: 'ham', body: BODY },
      undefined,
      ['Message-class: ham', 'Set: local'],
    ],
    ['a message to forget', { remove: 'local', body: BODY }, 'a b', ['Remove: local', 'User: a b']],
    [
      'a report',
      { set: 'remote', verdict: 'spam', body: BODY },
      undefined,
      ['Message-class: spam', 'Set: remote'],
    ],
    ['a question', { body: Buffer.alloc(0) }, undefined, []],
  ] as const)('%s is these bytes, and a half-close', async (_what, telling, user, headers) => {
    const spamd = await ScriptedSpamd.start(() => OK);
    await clientOf(spamd, { user }).tell(telling, NEVER);
    const { body } = telling;
    const lines = ['TELL SPAMC/1.5', ...headers, `Content-length: ${body.length}`];
    expect(spamd.requests).toEqual([{ head: lines.join('\r\n'), body, isHalfClosed: true }]);
  });

  test('a message goes byte for byte, whatever is in it', async () => {
    const spamd = await ScriptedSpamd.start(() => OK);
    const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 256));
    await clientOf(spamd).tell({ ...SPAM, body }, NEVER);
    expect(spamd.requests[0]?.body.equals(body)).toBe(true);
  });
});

describe('an answer', () => {
  test.each([
    ['DidSet', 'DidSet: local\r\n', true],
    ['two of them', 'DidSet: local,remote\r\n', true],
    ['that of another place', 'DidSet: remote\r\nDidRemove: local\r\n', false],
    ['none', '', false],
  ])('with %s is read', async (_what, headers, did) => {
    const says = `SPAMD/1.1 0 EX_OK\r\n${headers}\r\n\r\n`;
    for (const then of ['end', 'reset'] as const) {
      expect(await resultOf({ says, then })).toEqual({
        kind: 'answer',
        code: 0,
        text: 'EX_OK',
        did,
      });
    }
  });

  test.each([
    ['Remove: local', { remove: 'local', body: BODY }, 'DidRemove: local', true],
    ['Remove: local', { remove: 'local', body: BODY }, 'DidSet: local', false],
    ['a question', { body: Buffer.alloc(0) }, 'DidSet: local', false],
  ] as const)('to %s, with %s', async (_what, telling, header, did) => {
    const spamd = await ScriptedSpamd.start(() => ({
      says: `SPAMD/1.1 0 EX_OK\r\n${header}\r\n\r\n\r\n`,
    }));
    expect(await clientOf(spamd).tell(telling, NEVER)).toMatchObject({ did });
  });

  test('that is an error needs no more than its line', async () => {
    const says = 'SPAMD/1.0 69 Service Unavailable: no\r\n';
    const expected = { kind: 'answer', code: 69, text: 'Service Unavailable: no', did: false };
    expect(await resultOf({ says })).toEqual(expected);
  });

  test('that is whole counts, though the connection stays open', async () => {
    const result = await resultOf({ ...OK, then: 'stay' }, { timeoutMs: 2_000 });
    expect(result).toMatchObject({ kind: 'answer', code: 0 });
  });
});

describe('what is no whole answer', () => {
  test.each([
    ['closed without a byte', CLOSES, 'CLOSED', ''],
    ['reset without a byte', RESETS, 'CLOSED', ''],
    ['half a line', { says: 'SPAMD/1.1 0 EX' }, 'INCOMPLETE', 'SPAMD/1.1 0 EX'],
    ['the line alone', { says: 'SPAMD/1.1 0 EX_OK\r\n' }, 'INCOMPLETE', undefined],
    ['half a header', { says: 'SPAMD/1.1 0 EX_OK\r\nDidSet: lo' }, 'INCOMPLETE', undefined],
    [
      'a header without the blank line',
      { says: 'SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n' },
      'INCOMPLETE',
      undefined,
    ],
    ['no number', { says: 'SPAMD/1.1 OK\r\n\r\n' }, 'INCOMPLETE', undefined],
    [
      'a flood',
      { says: `SPAMD/1.1 0 ${'x'.repeat(100_000)}`, then: 'stay' },
      'INCOMPLETE',
      undefined,
    ],
    [
      'HTTP',
      { says: 'HTTP/1.1 400 Bad request\r\n\r\n' },
      'NOT_SPAMD',
      'HTTP/1.1 400 Bad request\r\n\r\n',
    ],
    [
      'a greeting that waits',
      { says: '220 mx ESMTP\r\n', then: 'stay' },
      'NOT_SPAMD',
      '220 mx ESMTP\r\n',
    ],
  ] as const)('%s', async (_what, act, code, text) => {
    const result = await resultOf(act);
    expect(result).toEqual({ kind: 'fault', code, text: text ?? (expect.any(String) as string) });
  });

  test('nobody listens', async () => {
    const result = await clientOf({ port: await freePort() }).tell(SPAM, NEVER);
    expect(result).toEqual({ kind: 'fault', code: 'ECONNREFUSED', text: '' });
  });

  test('half an answer, then silence, ends with the time limit', async () => {
    const says = 'SPAMD/1.1 0 EX_OK\r\n';
    const result = await resultOf({ says, then: 'stay' }, { timeoutMs: 2_000 });
    expect(result).toEqual({ kind: 'fault', code: 'ETIMEDOUT', text: says });
  });
});

describe('silence', () => {
  test('ends with the time limit, and leaves open what may still be carried out', async () => {
    const spamd = await ScriptedSpamd.start(() => SILENCE);
    const result = await clientOf(spamd, { timeoutMs: 50 }).tell(SPAM, NEVER);
    expect(result).toMatchObject({ kind: 'fault', code: 'ETIMEDOUT' });
    const late = result.kind === 'fault' ? result.late : undefined;
    let isOver = false;
    void late?.then(() => (isOver = true));
    await new Promise((wake) => setTimeout(wake, 50));
    expect([late instanceof Promise, isOver, spamd.sockets.length]).toEqual([true, false, 1]);
    spamd.sockets[0]?.end(OK.says);
    await late;
  });

  test('at a question leaves nothing open', async () => {
    const spamd = await ScriptedSpamd.start(() => SILENCE);
    const result = await clientOf(spamd, { timeoutMs: 50 }).tell({ body: Buffer.alloc(0) }, NEVER);
    expect(result).toEqual({ kind: 'fault', code: 'ETIMEDOUT', text: '' });
    await untilGone(spamd);
  });

  test('ends at once when it is aborted, and nothing is sent after that', async () => {
    const spamd = await ScriptedSpamd.start(() => SILENCE);
    const aborting = new AbortController();
    const telling = clientOf(spamd).tell({ body: Buffer.alloc(0) }, aborting.signal);
    await until('it was sent', () => spamd.requests.length === 1);
    aborting.abort();
    const aborted = { kind: 'fault', code: 'ABORTED', text: '' };
    expect(await telling).toEqual(aborted);
    await untilGone(spamd);
    expect(await clientOf(spamd).tell(SPAM, aborting.signal)).toEqual(aborted);
    expect(spamd.requests).toHaveLength(1);
  });

  test('is waited for where an order was sent whole, when that is aborted as well', async () => {
    const spamd = await ScriptedSpamd.start(() => SILENCE);
    const aborting = new AbortController();
    const telling = clientOf(spamd).tell(SPAM, aborting.signal);
    await until('it was sent', () => spamd.requests.length === 1);
    aborting.abort();
    const result = await telling;
    const late = expect.any(Promise) as Promise<void>;
    expect(result).toEqual({ kind: 'fault', code: 'ABORTED', text: '', late });
    expect(getEventListeners(aborting.signal, 'abort')).toEqual([]);
    spamd.sockets[0]?.end(OK.says);
    await (result.kind === 'fault' && result.late);
  });
});
