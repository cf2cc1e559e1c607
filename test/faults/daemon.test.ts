import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeMessage, makeMessages, tooShortMessage } from '../lab/messages.ts';
import { freePort } from '../../src/servers/ports.ts';
import { Spool } from './child-daemon.ts';
import type { ChildDaemon } from './child-daemon.ts';
import { FaultServer } from './fault-server.ts';
import type { Act } from './fault-server.ts';
import {
  CLOSES,
  NOT_FOUND,
  SILENCE,
  SUCCESS,
  UNAUTHORIZED,
  always,
  failure,
  lacks,
  learns,
  mentions,
  plays,
} from './plays.ts';

/** The real daemon against a controller that fails in every way that is known. */

const BAD = makeMessage('spam', 666);
const isBad = mentions(BAD.messageId);
const GROWTH = 'still growing: 7c1f\r\n';
const INNOCENT = makeMessages('ham', 6);
/** Where nobody listens. */
const nobody = `http://127.0.0.1:${await freePort()}`;
const TOO_LARGE = failure(413, 'Undefined Error');

describe.concurrent('a message that is at fault', () => {
  test('is over-size: it is quarantined unread and never sent', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    const long = { ...BAD, raw: Buffer.concat([BAD.raw, Buffer.alloc(10_000, 'x')]) };
    const daemon = spool.start({ RSPAMD_URL: server.url, LEARN_MAX_BYTES: '9000' });
    await spool.write(long, ...INNOCENT);
    await daemon.learns(6);
    expect(await daemon.says('message.quarantined', long.name)).toMatchObject({
      reason: `over-size: ${long.raw.length} bytes, LEARN_MAX_BYTES is 9000`,
    });
    expect(spool.reasonOf(long)).toMatchObject({ attempts: 0 });
    expect(server.posts.filter(({ body }) => body.length > 9000)).toEqual([]);
  });

  const short = tooShortMessage();
  const few = failure(204, `<${short.messageId}> contains less tokens than required: 9 < 11`);
  test.each([
    ['413', BAD, TOO_LARGE, 'message.quarantined'],
    [
      'an empty message',
      BAD,
      failure(500, 'Trying to learn an empty message'),
      'message.quarantined',
    ],
    ['too few tokens', short, few, 'message.refused'],
  ] as const)('by %s: one post, one line, and it is put away', async (_, message, act, event) => {
    const isIts = mentions(message.messageId);
    await using server = await FaultServer.start({ play: plays({ when: isIts, act }) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(message);
    await daemon.says(event);
    // what came after it is through: had it been tried again, that would have shown by now
    await spool.write(...INNOCENT);
    await daemon.learns(6);
    expect(await daemon.stop()).toBe(0);
    expect(daemon.logged(event)).toHaveLength(1);
    expect(server.posts.filter(isIts)).toHaveLength(1);
    expect(spool.waiting).toEqual([]);
    expect(spool.quarantined).toEqual(event === 'message.refused' ? [] : [message.name]);
  });
});

describe.concurrent('a setting that is wrong', () => {
  test('as the password: one post, no storm; another one in its file is picked up', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: lacks('right'), act: UNAUTHORIZED }),
    });
    await using spool = new Spool();
    const file = join(spool.folder, 'password');
    writeFileSync(file, 'wrong\n');
    const daemon = spool.start({ RSPAMD_URL: server.url, RSPAMD_PASSWORD_FILE: file });
    const messages = makeMessages('spam', 40);
    await spool.write(...messages.slice(0, 20));
    const line = await daemon.says('controller.misconfigured');
    expect(line['retrySeconds']).toBeGreaterThanOrEqual(30);
    expect(line['cure']).toMatch(/RSPAMD_PASSWORD/);
    await spool.write(...messages.slice(20));
    await daemon.until('pick all up', () => spool.names('.learnd/queue').length === 40);
    expect(server.posts).toHaveLength(1);
    writeFileSync(file, 'right\n');
    daemon.signal('SIGHUP');
    await daemon.learns(40);
    expect(spool.waiting).toEqual([]);
    expect(server.posts.filter(lacks('right')).length).toBeLessThanOrEqual(2);
    expect(daemon.logged('controller.misconfigured')).toHaveLength(1);
    expect(daemon.logged('message.deferred')).toEqual([]);
  });

  test('as the password: one that changes before the first post needs no signal', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: lacks('right'), act: UNAUTHORIZED }),
    });
    await using spool = new Spool();
    const file = join(spool.folder, 'password');
    writeFileSync(file, 'wrong');
    const daemon = spool.start({ RSPAMD_URL: server.url, RSPAMD_PASSWORD_FILE: file });
    await daemon.says('daemon.owner');
    writeFileSync(file, 'right');
    await spool.write(...INNOCENT);
    await daemon.learns(6);
    expect(server.posts.filter(lacks('right')).length).toBeLessThanOrEqual(1);
  });

  test.each([
    ['a password, too often', failure(429, 'Too many authentication failures'), /the lock ends/],
    ["the scan worker's port", failure(500, 'invalid command'), /11334/],
    ['a wrong path', NOT_FOUND, /path prefix/],
    ['no backend', failure(404, '<x@y> has been already learned as ham, ignore it'), /backend/],
  ] as const)('as %s: everything is held, and a SIGHUP tries again now', async (_, act, cure) => {
    await using server = await FaultServer.start({ play: always(act) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(...INNOCENT);
    const line = await daemon.says('controller.misconfigured');
    expect(line['severity']).toBe('err');
    expect(line['cure']).toMatch(cure);
    // a lock-out is waited for
    if (cure.source === 'the lock ends') expect(line['retrySeconds']).toBeGreaterThanOrEqual(60);
    await daemon.until('pick all up', () => spool.names('.learnd/queue').length === 6);
    expect(server.posts).toHaveLength(1);
    daemon.signal('SIGHUP');
    await daemon.until('try again', () => server.posts.length === 2);
    server.play = plays();
    // by itself it would try again in half a minute
    await daemon.hurry('learn all', () => spool.waiting.length === 0);
    expect(daemon.logged('controller.misconfigured')).toHaveLength(1);
    expect(daemon.logged('controller.up')).toHaveLength(1);
    expect(spool.quarantined).toEqual([]);
  });
});

describe.concurrent('a controller that fails', () => {
  test('by answering 200 for ever: nothing is removed until it remembers', async () => {
    await using server = await FaultServer.start({ play: plays({ when: learns, act: SUCCESS }) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(...INNOCENT);
    await daemon.says('controller.unproven');
    const posts = server.posts.length;
    await daemon.hurry('probe two more', () => server.posts.length >= posts + 8);
    expect(spool.names('.learnd/queue').length).toBe(6);
    expect(daemon.logged('message.learned')).toEqual([]);
    server.play = plays();
    await daemon.hurry('learn all', () => spool.waiting.length === 0);
    await daemon.learns(6);
    expect(daemon.logged('controller.unproven')).toHaveLength(1);
    for (const { proven } of daemon.logged('message.learned')) expect(proven).toBe(true);
    expect(spool.quarantined).toEqual([]);
  });

  test('by refusing connections: all is learned once it is there', async () => {
    await using spool = new Spool();
    const socketPath = join(spool.folder, 'controller.sock');
    const daemon = spool.start({ RSPAMD_URL: `unix:${socketPath}` });
    await spool.write(...INNOCENT);
    const { reason } = await daemon.says('controller.down');
    expect(reason).toBe('connection refused: nobody listens there (ENOENT)');
    await using server = await FaultServer.start({ play: plays(), socketPath });
    await daemon.learns(6);
    expect(spool.waiting).toEqual([]);
    expect(server.posts).toHaveLength(12);
    expect(daemon.logged('controller.up')).toHaveLength(1);
  });
});

describe.concurrent('watch --once ends with', () => {
  const ONCE = ['watch', '--once'];

  interface Pass {
    /** What the controller does with BAD. @defaultValue there is no such message */
    readonly bad?: Act;
    /** @defaultValue the controller is there */
    readonly url?: string;
    readonly prepare?: (lib: string) => void;
    readonly learned: number;
    /** What is left in the drop directory and the queue. */
    readonly left: readonly string[];
  }

  const emptyFile = (lib: string): void => {
    writeFileSync(join(lib, 'spam', 'empty.eml'), '');
  };
  const withoutSpam = (lib: string): void => {
    rmSync(join(lib, 'spam'), { recursive: true });
  };
  const names = INNOCENT.map(({ name }) => name);

  test.each<[code: number, when: string, Pass]>([
    [0, 'all is done', { learned: 6, left: [] }],
    [1, 'something was quarantined', { bad: TOO_LARGE, learned: 6, left: [] }],
    [
      1,
      'something was quarantined and something is left',
      { bad: TOO_LARGE, prepare: emptyFile, learned: 6, left: ['empty.eml'] },
    ],
    [75, 'a message is deferred', { bad: CLOSES, learned: 6, left: [BAD.name] }],
    [75, 'the controller refuses connections', { url: nobody, learned: 0, left: names }],
    [75, 'a file is empty', { prepare: emptyFile, learned: 6, left: ['empty.eml'] }],
    [75, 'a class folder is missing', { prepare: withoutSpam, learned: 6, left: [] }],
  ])('%i when %s', async (code, _, { bad, url, prepare, learned, left }) => {
    const play = bad === undefined ? plays() : plays({ when: isBad, act: bad });
    await using server = await FaultServer.start({ play });
    await using spool = new Spool();
    await spool.write(...(bad === undefined ? [] : [BAD]), ...INNOCENT);
    prepare?.(spool.lib);
    const daemon = spool.start({ RSPAMD_URL: url ?? server.url }, ONCE);
    expect(await daemon.ends()).toBe(code);
    expect(daemon.logged('message.learned')).toHaveLength(learned);
    expect(spool.waiting.sort()).toEqual([...left].sort());
  });

  test('0 when there is nothing to do, 75 when the whole spool is missing', async () => {
    await using spool = new Spool();
    expect(await spool.start({ RSPAMD_URL: nobody }, ONCE).ends()).toBe(0);
    rmSync(spool.lib, { recursive: true });
    const daemon = spool.start({ RSPAMD_URL: nobody }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(daemon.logged('spool.missing')).toHaveLength(1);
  });

  test('75 when the password is wrong, after one post; 0 when it is right again', async () => {
    await using server = await FaultServer.start({ play: always(UNAUTHORIZED) });
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    // cron waits for it: not for as long as the daemon would hold the controller
    expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(75);
    expect(server.posts).toHaveLength(1);
    expect(spool.names('.learnd/queue')).toHaveLength(6);
    server.play = plays();
    expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(0);
    expect(spool.waiting).toEqual([]);
  });

  test('75 when a file is still being written', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    const file = join(spool.lib, 'spam', 'growing.eml');
    const growing = setInterval(() => {
      appendFileSync(file, GROWTH);
    }, 20);
    try {
      expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(75);
    } finally {
      clearInterval(growing);
    }
    expect(spool.waiting).toEqual(['growing.eml']);
    expect(server.posts).toEqual([]);
  });

  test('75 when another owner is at work, who is not disturbed', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new Spool();
    const owner = spool.start({ RSPAMD_URL: server.url });
    await owner.says('daemon.owner');
    await spool.write(...INNOCENT);
    await owner.until('post', () => server.open === 1);
    const second = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await second.ends()).toBe(75);
    expect(second.logged('daemon.standby')).toHaveLength(1);
    expect(second.logged('daemon.owner')).toEqual([]);
    expect(server.posts).toHaveLength(1);
  });
});

test('a log whose reader goes away does not keep the daemon from learning', async () => {
  await using server = await FaultServer.start({ play: plays() });
  await using spool = new Spool();
  const daemon = spool.start({ RSPAMD_URL: server.url, SYSLOG_LEVEL: '7' });
  await daemon.says('daemon.owner');
  daemon.closeLog();
  for (const message of INNOCENT) {
    await spool.write(message);
    await daemon.until('learn it', () => spool.waiting.length === 0);
  }
  expect(server.posts).toHaveLength(12);
  expect(daemon.stderr).toBe('');
  expect(await daemon.stop()).toBe(0);
});

describe.concurrent('a stop', () => {
  /** A daemon with eight posts in flight that are never answered. */
  async function hanging(spool: Spool, server: FaultServer, seconds: string): Promise<ChildDaemon> {
    const daemon = spool.start({
      RSPAMD_URL: server.url,
      RSPAMD_TIMEOUT_SECONDS: '600',
      SHUTDOWN_SECONDS: seconds,
    });
    await spool.write(...INNOCENT);
    await daemon.learns(6);
    server.play = always(SILENCE);
    await spool.write(...makeMessages('spam', 20));
    await daemon.until('have eight in flight', () => server.open === 8);
    await daemon.until('pick all up', () => spool.names('.learnd/queue').length === 20);
    return daemon;
  }

  test('with eight posts hanging ends in SHUTDOWN_SECONDS, all still queued', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    const daemon = await hanging(spool, server, '2');
    // the requests would hang for ten minutes
    expect(await daemon.stop()).toBe(0);
    expect(spool.names('.learnd/queue')).toHaveLength(20);
    expect(daemon.logged('daemon.stopped')).toHaveLength(1);
    expect(daemon.logged('message.deferred')).toEqual([]);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by a second signal ends at once: %s',
    async (signal) => {
      await using server = await FaultServer.start({ play: plays() });
      await using spool = new Spool();
      const daemon = await hanging(spool, server, '600');
      daemon.signal('SIGTERM');
      // as often as it takes: two that come together are one to the kernel
      const again = setInterval(() => {
        daemon.signal(signal);
      }, 50);
      try {
        expect(await daemon.ends()).toBe(1);
      } finally {
        clearInterval(again);
      }
      expect(spool.names('.learnd/queue')).toHaveLength(20);
    },
  );

  test('lets a post end whose answer comes in time', async () => {
    const slow = { ...SUCCESS, everyMs: 500 };
    await using server = await FaultServer.start({
      play: plays({ when: learns, act: slow, times: 1 }),
    });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url, SHUTDOWN_SECONDS: '5' });
    await spool.write(BAD);
    await daemon.until('post', () => server.open === 1);
    expect(await daemon.stop()).toBe(0);
    // learned and proved, or left for the next start: never half of it
    const isDone = daemon.logged('message.learned', BAD.name).length === 1;
    expect(spool.waiting).toEqual(isDone ? [] : [BAD.name]);
  });
});
