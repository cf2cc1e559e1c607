import {
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  dropQuarantined,
  listQuarantine,
  releaseQuarantined,
  showQuarantined,
} from '../../src/quarantine/command.ts';
import type { QuarantineOptions } from '../../src/quarantine/command.ts';
import { OperatorError } from '../../src/errors.ts';
import type { Verdict } from '../../src/verdict.ts';
import { failSteps } from '../support/failing-steps.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';

const ESCAPE = '\u001b[31m';

/** A quarantine, and what the commands say about it. */
class Desk {
  readonly spool = new TestSpool();
  out = Buffer.alloc(0);
  err = '';

  add(verdict: Verdict, key: string, body: string | Buffer = key, reason: object = {}): void {
    put(this.spool.statePath(`quarantine/${verdict}/${key}`), body);
    const all = { name: key, verdict, reason: '500 no', attempts: 10, ...reason };
    const at = { quarantinedAt: '2026-03-14T12:00:00.000Z' };
    put(
      this.spool.statePath(`quarantine/${verdict}/${key}.json`),
      Buffer.from(JSON.stringify({ ...all, ...at })),
    );
  }

  options(change: Partial<QuarantineOptions> = {}): QuarantineOptions {
    return {
      stateDir: this.spool.stateDir.root.path,
      stop: new AbortController().signal,
      out: (text) => {
        this.out = Buffer.concat([this.out, Buffer.from(text)]);
      },
      outBytes: (bytes) => {
        this.out = Buffer.concat([this.out, bytes]);
        return Promise.resolve();
      },
      isTerminal: false,
      err: (text) => {
        this.err += text;
      },
      wall: () => Date.now(),
      ...change,
    };
  }

  files(place: string): string[] {
    return ['spam', 'ham'].flatMap((verdict) =>
      this.spool.names(`${place}/${verdict}`).map((name) => `${verdict}/${name}`),
    );
  }

  names(...names: string[]): string[] {
    return names;
  }
}

async function faultOf(act: Promise<unknown>): Promise<OperatorError> {
  const error: unknown = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof OperatorError) return error;
  throw new Error('it did not fail as an operator understands it', { cause: error });
}

describe('names', () => {
  test('that are unknown are told, with the command that lists what is there, and the others are done', async () => {
    const desk = new Desk();
    desk.add('spam', 'letter-1.eml');
    desk.add('spam', 'other.eml');
    const fault = await faultOf(
      releaseQuarantined(desk.options(), desk.names('lettre-1.eml', 'other.eml')),
    );
    expect(fault.message).toBe("'lettre-1.eml' is not in quarantine");
    expect(fault.hint).toBe('kopano-learnd quarantine list shows what is there');
    expect(fault.exitCode).toBe(1);
    expect(desk.files('release')).toEqual(['spam/other.eml']);
  });

  test('that both verdicts have must be said in full; nothing is done before that is clear', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml', 'as spam');
    desk.add('ham', 'a.eml', 'as ham');
    desk.add('ham', 'b.eml');
    for (const act of [
      () => showQuarantined(desk.options(), 'a.eml'),
      () => releaseQuarantined(desk.options(), desk.names('b.eml', 'a.eml')),
      () => dropQuarantined(desk.options(), desk.names('b.eml', 'a.eml')),
    ]) {
      const fault = await faultOf(act());
      expect(fault.hint).toBe('say which: spam/a.eml or ham/a.eml');
    }
    expect(desk.files('quarantine')).toHaveLength(6);
    await showQuarantined(desk.options(), 'ham/a.eml');
    expect(desk.out.toString()).toBe('as ham');
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
    const desk = new Desk();
    desk.add('ham', 'a.eml');
    for (const act of [
      () => showQuarantined(desk.options(), name),
      () => releaseQuarantined(desk.options(), desk.names(name)),
      () => dropQuarantined(desk.options(), desk.names(name)),
    ]) {
      expect((await faultOf(act())).code).toBe('quarantine.unknown');
    }
    expect(desk.files('quarantine')).toEqual(['ham/a.eml', 'ham/a.eml.json']);
    expect(readdirSync(desk.spool.stateDir.root.path)).not.toContain('passwd');
  });
});

describe('without', () => {
  test('a state dir the list is empty, and says why', async () => {
    const desk = new Desk();
    const options = desk.options({ stateDir: `${temporaryFolder()}/none` });
    expect(await listQuarantine(options, false)).toBe(0);
    expect(desk.out.toString()).toBe('');
    expect(desk.err).toMatch(/no state dir .*none, so nothing was ever quarantined/);
    expect(await listQuarantine(options, true)).toBe(0);
    expect(JSON.parse(desk.out.toString())).toEqual([]);
    expect(await releaseQuarantined(options, 'all')).toBe(0);
    expect((await faultOf(showQuarantined(options, 'a'))).exitCode).toBe(1);
  });

  test('a folder for releases nothing is moved, and the cure is said', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml');
    rmSync(desk.spool.statePath('release'), { recursive: true });
    const fault = await faultOf(releaseQuarantined(desk.options(), 'all'));
    expect(fault.hint).toMatch(/start kopano-learnd .* once/);
    expect(desk.files('quarantine')).toEqual(['spam/a.eml', 'spam/a.eml.json']);
  });

  test('a readable reason a message is listed, shown and released all the same', async () => {
    const desk = new Desk();
    for (const [key, reason] of [
      ['a', ''],
      ['b', '[1]'],
      ['c', '{"reason":7}'],
    ] as const) {
      put(desk.spool.statePath(`quarantine/spam/${key}`), key);
      put(desk.spool.statePath(`quarantine/spam/${key}.json`), reason);
    }
    put(desk.spool.statePath('quarantine/spam/d'), 'd');
    await listQuarantine(desk.options(), false);
    expect(desk.out.toString().match(/the reason is not readable/g)).toHaveLength(4);
    await showQuarantined(desk.options(), 'a');
    await releaseQuarantined(desk.options(), 'all');
    expect(desk.files('release')).toHaveLength(4);
    expect(desk.files('quarantine')).toEqual([]);
  });
});

describe('show', () => {
  test.each([
    [
      'a symlink',
      (place: string) => {
        symlinkSync('/etc/passwd', place);
      },
    ],
    [
      'a folder',
      (place: string) => {
        mkdirSync(place);
      },
    ],
    [
      'a second link',
      (place: string) => {
        linkSync(put(`${place}-other`, 'secret'), place);
      },
    ],
  ])('does not read %s', async (_, make) => {
    const desk = new Desk();
    make(desk.spool.statePath('quarantine/spam/a.eml'));
    const fault = await faultOf(showQuarantined(desk.options(), 'a.eml'));
    expect(fault.code).toBe('quarantine.unfit');
    expect(desk.out.toString()).toBe('');
  });

  test('writes the message byte for byte, and the reason beside it', async () => {
    const desk = new Desk();
    const body = Buffer.from(`Subject: ${ESCAPE}\r\n\r\n\xff\x00${'x'.repeat(200_000)}`, 'latin1');
    desk.add('spam', 'a.eml', body, { reason: `500 ${ESCAPE}`, messageId: 'id@\u202eexample' });
    expect(await showQuarantined(desk.options(), 'a.eml')).toBe(0);
    expect(desk.out.equals(body)).toBe(true);
    expect(desk.err).toMatch(/^spam\/a\.eml: 500 \?\[31m$/m);
    expect(desk.err).toContain('failures charged to it: 10');
    expect(desk.err).not.toContain('\u202e');
  });

  test('paints no terminal', async () => {
    const desk = new Desk();
    const body = `Subject: ${ESCAPE}caf\u00e9\r\nX:\ty\u202e\u009b1m\n\n\u0007`;
    desk.add('spam', 'a.eml', Buffer.concat([Buffer.from(body), Buffer.from([0xff])]));
    await showQuarantined(desk.options({ isTerminal: true }), 'a.eml');
    expect(desk.out.toString()).toBe('Subject: ?[31mcaf\u00e9\nX:\ty??1m\n\n?\ufffd');
  });
});

describe('a folder that can’t be listed', () => {
  test('because its disk fails is said so', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml');
    failSteps(({ call }) => (call === 'opendirSync' ? 'EIO' : undefined));
    const fault = await faultOf(listQuarantine(desk.options(), false));
    expect(fault).toMatchObject({ code: 'quarantine.disk', exitCode: 1 });
    expect(fault.message).toContain('EIO');
  });
});

describe('list', () => {
  test('gives a line each, fit for a terminal', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml', 'x', { reason: `500 ${ESCAPE}\nspam/b` });
    desk.add('ham', 'b.eml');
    expect(await listQuarantine(desk.options(), false)).toBe(0);
    expect(desk.out.toString()).toBe(
      'spam/a.eml\t2026-03-14T12:00:00.000Z\t500 ?[31m?spam/b\n' +
        'ham/b.eml\t2026-03-14T12:00:00.000Z\t500 no\n',
    );
    expect(desk.err).toBe('2 messages in quarantine\n');
  });

  test('gives JSON of plain ASCII that says the same', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml', 'x', { reason: '500 \u009b\u202e caf\u00e9', messageId: 'm@x' });
    desk.add('ham', 'b.eml');
    await listQuarantine(desk.options(), true);
    expect(desk.out.toString()).toMatch(/^[\x20-\x7e\n]*$/);
    expect(JSON.parse(desk.out.toString())).toEqual([
      {
        verdict: 'spam',
        name: 'a.eml',
        reason: '500 \u009b\u202e caf\u00e9',
        attempts: 10,
        messageId: 'm@x',
        quarantinedAt: '2026-03-14T12:00:00.000Z',
      },
      expect.objectContaining({ verdict: 'ham', name: 'b.eml' }),
    ]);
  });
});

describe('release and drop', () => {
  test('release moves the message and then takes its reason away', async () => {
    const desk = new Desk();
    desk.add('spam', 'a.eml', 'body');
    desk.add('ham', 'b.eml');
    expect(await releaseQuarantined(desk.options(), desk.names('a.eml', 'ham/b.eml'))).toBe(0);
    expect(desk.files('quarantine')).toEqual([]);
    expect(desk.files('release')).toEqual(['spam/a.eml', 'ham/b.eml']);
    expect(desk.spool.read('release/spam/a.eml')).toBe('body');
    expect(desk.err).toContain('2 messages released');
    // Said again it is no error, until the owner has taken them.
    expect(await releaseQuarantined(desk.options(), desk.names('a.eml'))).toBe(0);
    expect(desk.err).toContain('0 messages released, 1 gone already');
    const fault = await faultOf(dropQuarantined(desk.options(), desk.names('a.eml')));
    expect(fault.hint).toContain('it was released');
  });

  test('drop removes message and reason, folders and links that nobody followed included', async () => {
    const desk = new Desk();
    const outside = temporaryFolder();
    writeFileSync(`${outside}/kept`, '');
    desk.add('spam', 'a.eml');
    desk.add('spam', 'kept.eml');
    mkdirSync(desk.spool.statePath('quarantine/ham/folder'));
    symlinkSync(outside, desk.spool.statePath('quarantine/ham/folder/link'));
    symlinkSync(outside, desk.spool.statePath('quarantine/ham/link'));
    await dropQuarantined(desk.options(), desk.names('a.eml', 'folder', 'link'));
    expect(desk.files('quarantine')).toEqual(['spam/kept.eml', 'spam/kept.eml.json']);
    expect(readdirSync(outside)).toEqual(['kept']);
  });

  test('--all takes everything, and the reasons that an interrupted command left', async () => {
    const desk = new Desk();
    for (let i = 0; i < 50; i += 1) desk.add(i % 2 === 0 ? 'spam' : 'ham', `m${i}.eml`);
    const old = put(desk.spool.statePath('quarantine/spam/left.eml.json'), '{}');
    utimesSync(old, 1_000, 1_000);
    // The daemon is just about to put its message beside this one.
    put(desk.spool.statePath('quarantine/spam/coming.eml.json'), '{}');
    expect(await dropQuarantined(desk.options(), 'all')).toBe(0);
    expect(desk.err).toBe('50 messages dropped\n');
    expect(desk.files('quarantine')).toEqual(['spam/coming.eml.json']);
  });

  test('a message that the daemon takes at the same moment is no error', async () => {
    const desk = new Desk();
    for (let i = 0; i < 20; i += 1) desk.add('spam', `m${i}.eml`);
    for (const act of [releaseQuarantined, dropQuarantined]) {
      const under = act(desk.options(), 'all');
      for (let i = 0; i < 20; i += 1) desk.spool.quarantine.removeKey(`m${i}.eml`);
      expect(await under).toBe(0);
    }
  });
});
