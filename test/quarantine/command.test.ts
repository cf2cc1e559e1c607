import { linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  dropQuarantined,
  listQuarantine,
  releaseQuarantined,
  showQuarantined,
} from '../../src/quarantine/command.ts';
import type { QuarantineOptions } from '../../src/quarantine/command.ts';
import type { Verdict } from '../../src/verdict.ts';
import { failSteps } from '../support/fs-steps.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';

const TERMINAL = { columns: 80, hasColour: false };
const ESCAPE = '\u001b[31m';

let spool: TestSpool;
let out: Buffer;
let err: string;
let options: QuarantineOptions;

beforeEach(() => {
  spool = new TestSpool();
  out = Buffer.alloc(0);
  err = '';
  const write = (bytes: Uint8Array): void => {
    out = Buffer.concat([out, bytes]);
  };
  options = {
    stateDir: spool.stateDir.root.path,
    stop: new AbortController().signal,
    out: (text) => write(Buffer.from(text)),
    outBytes: async (bytes) => {
      await Promise.resolve();
      write(bytes);
    },
    terminal: undefined,
    err: (text) => (err += text),
    errTerminal: undefined,
  };
});

/** Puts a message into quarantine, with its reason. */
function add(verdict: Verdict, key: string, body: string | Buffer = key, reason = {}): void {
  const all = { name: key, verdict, reason: '500 no', attempts: 10, ...reason };
  const text = JSON.stringify({ ...all, quarantinedAt: '2026-03-14T12:00:00.000Z' });
  put(spool.statePath(`quarantine/${verdict}/${key}`), body);
  put(spool.statePath(`quarantine/${verdict}/${key}.json`), Buffer.from(text));
}

function filesIn(place: string): string[] {
  return ['spam', 'ham'].flatMap((verdict) =>
    spool.names(`${place}/${verdict}`).map((name) => `${verdict}/${name}`),
  );
}

function longest(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}

/** What each command does with these names. */
function commandsOn(...names: string[]): (() => Promise<number>)[] {
  return [
    () => showQuarantined(options, names.at(-1) ?? ''),
    () => releaseQuarantined(options, names),
    () => dropQuarantined(options, names),
  ];
}

describe('names', () => {
  test('that are unknown are told, and the others are done', async () => {
    add('spam', 'letter-1.eml');
    add('spam', 'other.eml');
    await expect(releaseQuarantined(options, ['lettre-1.eml', 'other.eml'])).rejects.toMatchObject({
      message: 'not in quarantine: lettre-1.eml',
      command: 'kopano-learnd quarantine list',
      exitCode: 1,
    });
    expect(filesIn('release')).toEqual(['spam/other.eml']);
  });

  test('that both verdicts have must be said in full; nothing is done before that is clear', async () => {
    add('spam', 'a.eml', 'as spam');
    add('ham', 'a.eml', 'as ham');
    add('ham', 'b.eml');
    for (const act of commandsOn('b.eml', 'a.eml')) {
      const hint = 'say which: spam/a.eml or ham/a.eml';
      await expect(act()).rejects.toMatchObject({ hint });
    }
    expect(filesIn('quarantine')).toHaveLength(6);
    await showQuarantined(options, 'ham/a.eml');
    expect(out.toString()).toBe('as ham');
  });

  test('are taken as the file had them, too', async () => {
    add('ham', 'big%20one.eml');
    add('spam', '%2Dn');
    add('spam', 'Gr%C3%BC%C3%9Fe');
    const listed = ['ham/big one.eml', 'spam/-n', 'Grüße'];
    expect(await releaseQuarantined(options, listed)).toBe(0);
    expect(filesIn('release')).toEqual(['spam/%2Dn', 'spam/Gr%C3%BC%C3%9Fe', 'ham/big%20one.eml']);
  });

  test.each([
    '../../owner.lock',
    'spam/../ham/a.eml',
    '.',
    '',
    'a.eml.json',
    'spam/',
    '/etc/passwd',
  ])('that are paths or no message lead nowhere: %j', async (name) => {
    add('ham', 'a.eml');
    for (const act of commandsOn(name)) {
      await expect(act()).rejects.toMatchObject({ code: 'quarantine.unknown' });
    }
    expect(filesIn('quarantine')).toEqual(['ham/a.eml', 'ham/a.eml.json']);
  });
});

describe('without', () => {
  test('a state dir the list is empty, and says why', async () => {
    options = { ...options, stateDir: `${temporaryFolder()}/none` };
    expect(await listQuarantine(options, false)).toBe(0);
    expect(out.toString()).toBe('');
    expect(err).toMatch(/no state dir .*none, so nothing was ever quarantined/);
    expect(await listQuarantine(options, true)).toBe(0);
    expect(JSON.parse(out.toString())).toEqual([]);
    expect(await releaseQuarantined(options, 'all')).toBe(0);
    await expect(showQuarantined(options, 'a')).rejects.toMatchObject({ exitCode: 1 });
  });

  test('a folder for releases nothing is moved, and the cure is said', async () => {
    add('spam', 'a.eml');
    rmSync(spool.statePath('release'), { recursive: true });
    const hint = expect.stringMatching(/start kopano-learnd/) as string;
    await expect(releaseQuarantined(options, 'all')).rejects.toMatchObject({ hint });
    expect(filesIn('quarantine')).toEqual(['spam/a.eml', 'spam/a.eml.json']);
  });

  test('a readable reason a message is listed, shown and released all the same', async () => {
    const reasons = { a: '', b: '[1]', c: '{"reason":7}' };
    for (const [key, reason] of Object.entries(reasons)) {
      put(spool.statePath(`quarantine/spam/${key}`), key);
      put(spool.statePath(`quarantine/spam/${key}.json`), reason);
    }
    put(spool.statePath('quarantine/spam/d'), 'd');
    await listQuarantine(options, false);
    expect(out.toString().match(/the reason is not readable/g)).toHaveLength(4);
    await showQuarantined(options, 'a');
    await releaseQuarantined(options, 'all');
    expect(filesIn('release')).toHaveLength(4);
    expect(filesIn('quarantine')).toEqual([]);
  });
});

describe('show', () => {
  test.each<[string, (place: string) => void]>([
    ['a symlink', (place) => symlinkSync('/etc/passwd', place)],
    ['a folder', mkdirSync],
    ['a second link', (place) => linkSync(put(`${place}-other`, 'secret'), place)],
  ])('does not read %s', async (_, make) => {
    make(spool.statePath('quarantine/spam/a.eml'));
    const refused = { code: 'quarantine.unfit' };
    await expect(showQuarantined(options, 'a.eml')).rejects.toMatchObject(refused);
    expect(out.toString()).toBe('');
  });

  test('writes the message byte for byte, and the reason beside it', async () => {
    const body = Buffer.from(`Subject: ${ESCAPE}\r\n\r\n\xff\x00${'x'.repeat(200_000)}`, 'latin1');
    add('spam', 'a.eml', body, { reason: `500 ${ESCAPE}`, messageId: 'id@\u202eexample' });
    expect(await showQuarantined(options, 'a.eml')).toBe(0);
    expect(out.equals(body)).toBe(true);
    expect(err).toMatch(/^spam\/a\.eml: 500 \?\[31m$/m);
    expect(err).toContain('failures charged to it: 10');
    expect(err).not.toContain('\u202e');
  });

  test('paints no terminal', async () => {
    const body = `Subject: ${ESCAPE}caf\u00e9\r\nX:\ty\u202e\u009b1m\n\n\u0007`;
    add('spam', 'a.eml', Buffer.concat([Buffer.from(body), Buffer.from([0xff])]));
    await showQuarantined({ ...options, terminal: TERMINAL }, 'a.eml');
    expect(out.toString()).toBe('Subject: ?[31mcaf\u00e9\nX:\ty??1m\n\n?\ufffd');
  });
});

describe('list', () => {
  test('fits a terminal', async () => {
    const reason = `500 ${'no room '.repeat(20)}`.trim();
    add('spam', 'a.eml', 'x', { reason });
    await listQuarantine({ ...options, terminal: TERMINAL }, false);
    expect(out.toString()).toMatch(/^spam\/a\.eml {2}2026-03-14T12:00:00\.000Z {2}500 no/);
    expect(out.toString().replace(/\n {4}/g, ' ')).toContain(reason);
    expect(longest(out.toString())).toBeLessThanOrEqual(80);
    await showQuarantined({ ...options, errTerminal: TERMINAL }, 'a.eml');
    expect(longest(err)).toBeLessThanOrEqual(80);
  });

  test('gives a line each with tabs elsewhere, which paints no terminal', async () => {
    add('spam', 'a.eml', 'x', { reason: `500 ${ESCAPE}\nspam/b` });
    add('ham', 'b.eml');
    expect(await listQuarantine(options, false)).toBe(0);
    expect(out.toString()).toBe(
      'spam/a.eml\t2026-03-14T12:00:00.000Z\t500 ?[31m?spam/b\n' +
        'ham/b.eml\t2026-03-14T12:00:00.000Z\t500 no\n',
    );
    expect(err).toBe('2 messages in quarantine\n');
  });

  test('gives JSON of plain ASCII that says the same', async () => {
    const reason = '500 \u009b\u202e caf\u00e9';
    add('spam', 'a.eml', 'x', { reason, messageId: 'm@x' });
    add('ham', 'b.eml');
    await listQuarantine(options, true);
    expect(out.toString()).toMatch(/^[\x20-\x7e\n]*$/);
    const quarantinedAt = '2026-03-14T12:00:00.000Z';
    expect(JSON.parse(out.toString())).toEqual([
      { verdict: 'spam', name: 'a.eml', reason, attempts: 10, messageId: 'm@x', quarantinedAt },
      expect.objectContaining({ verdict: 'ham', name: 'b.eml' }),
    ]);
  });

  test('of a folder whose disk fails says so', async () => {
    add('spam', 'a.eml');
    failSteps(({ call }) => (call === 'opendirSync' ? 'EIO' : undefined));
    const message = expect.stringContaining('EIO') as string;
    const fault = { code: 'quarantine.disk', exitCode: 1, message };
    await expect(listQuarantine(options, false)).rejects.toMatchObject(fault);
  });
});

describe('release and drop', () => {
  test('release moves the message and then takes its reason away', async () => {
    add('spam', 'a.eml', 'body');
    add('ham', 'b.eml');
    expect(await releaseQuarantined(options, ['a.eml', 'ham/b.eml'])).toBe(0);
    expect(filesIn('quarantine')).toEqual([]);
    expect(filesIn('release')).toEqual(['spam/a.eml', 'ham/b.eml']);
    expect(spool.read('release/spam/a.eml')).toBe('body');
    expect(err).toContain('2 messages released');
    const hint = expect.stringContaining('it was released') as string;
    await expect(dropQuarantined(options, ['a.eml'])).rejects.toMatchObject({ hint });
  });

  test('drop removes message and reason, folders and links that nobody followed included', async () => {
    const outside = temporaryFolder();
    writeFileSync(`${outside}/kept`, '');
    add('spam', 'a.eml');
    add('spam', 'kept.eml');
    mkdirSync(spool.statePath('quarantine/ham/folder'));
    symlinkSync(outside, spool.statePath('quarantine/ham/folder/link'));
    symlinkSync(outside, spool.statePath('quarantine/ham/link'));
    await dropQuarantined(options, ['a.eml', 'folder', 'link']);
    expect(filesIn('quarantine')).toEqual(['spam/kept.eml', 'spam/kept.eml.json']);
    expect(readdirSync(outside)).toEqual(['kept']);
  });

  test('--all takes everything that is there', async () => {
    for (let i = 0; i < 50; i += 1) add(i % 2 === 0 ? 'spam' : 'ham', `m${i}.eml`);
    // The daemon is just about to put its message beside this one.
    put(spool.statePath('quarantine/spam/coming.eml.json'), '{}');
    expect(await dropQuarantined(options, 'all')).toBe(0);
    expect(err).toBe('50 messages dropped\n');
    expect(filesIn('quarantine')).toEqual(['spam/coming.eml.json']);
  });

  test('a message that the daemon takes at the same moment is no error', async () => {
    for (let i = 0; i < 20; i += 1) add('spam', `m${i}.eml`);
    for (const act of [releaseQuarantined, dropQuarantined]) {
      const under = act(options, 'all');
      for (let i = 0; i < 20; i += 1) spool.quarantine.removeKey(`m${i}.eml`);
      expect(await under).toBe(0);
    }
  });
});
