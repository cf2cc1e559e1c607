import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Daemon } from '../lab/daemon.ts';
import { makeMessage, makeMessages, tooShortMessage } from '../lab/messages.ts';
import { freePort } from '../../src/servers/ports.ts';
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
import { DaemonSpool } from '../support/daemon-spool.ts';

/** The whole daemon against a controller that fails in every way that is known. */

const BAD = makeMessage('spam', 666);
const isBad = mentions(BAD.messageId);
const INNOCENT = makeMessages('ham', 6);
/** Where nobody listens. */
const nobody = `http://127.0.0.1:${await freePort()}`;
const TOO_LARGE = failure(413, 'Undefined Error');

test('messages that are at fault: one post and one line each at most, and they are put away', async () => {
  const long = { ...BAD, raw: Buffer.concat([BAD.raw, Buffer.alloc(10_000, 'x')]) };
  const [large, empty, short] = [makeMessage('spam', 1), makeMessage('spam', 2), tooShortMessage()];
  const is = ({ messageId }: { readonly messageId: string }) => mentions(messageId);
  const play = plays(
    { when: is(large), act: TOO_LARGE },
    { when: is(empty), act: failure(500, 'Trying to learn an empty message') },
    { when: is(short), act: failure(204, '<x@y> contains less tokens than required: 9 < 11') },
  );
  await using server = await FaultServer.start({ play });
  await using spool = new DaemonSpool();
  const daemon = spool.start({ RSPAMD_URL: server.url, LEARN_MAX_BYTES: '9000' });
  await spool.judgeAll(long, large, empty, short);
  await daemon.until('put all away', () => spool.waiting.length === 0);
  // what came after them is through: had one been tried again, that would have shown by now
  await spool.judgeAll(...INNOCENT);
  await daemon.learns(6);
  expect(await daemon.stop()).toBe(0);
  for (const message of [large, empty, short]) {
    expect(server.posts.filter(is(message))).toHaveLength(1);
  }
  expect(server.posts.filter(({ body }) => body.length > 9000)).toEqual([]);
  expect(daemon.logged('message.quarantined')).toHaveLength(3);
  expect(daemon.logged('message.quarantined', long.name)).toMatchObject([
    { reason: `over-size: ${long.raw.length} bytes, LEARN_MAX_BYTES is 9000` },
  ]);
  expect(spool.reasonOf(long)).toMatchObject({ attempts: 0 });
  expect(daemon.logged('message.refused', short.name)).toHaveLength(1);
  expect(spool.waiting).toEqual([]);
});

describe.concurrent('a setting that is wrong', () => {
  /** Whatever comes in, nothing but the half minute brings another post. */
  function expectNoStorm({ posts }: FaultServer): void {
    for (const [index, { at }] of posts.slice(1).entries()) {
      expect(at - (posts[index]?.at ?? 0)).toBeGreaterThan(29_000);
    }
  }

  test('as the password: one post, no storm; another one in its file is picked up', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: lacks('right'), act: UNAUTHORIZED }),
    });
    await using spool = new DaemonSpool();
    const file = join(spool.folder, 'password');
    writeFileSync(file, 'wrong\n');
    const daemon = spool.start({ RSPAMD_URL: server.url, RSPAMD_PASSWORD_FILE: file });
    const messages = makeMessages('spam', 40);
    await spool.judgeAll(...messages.slice(0, 20));
    const line = await daemon.says('controller.misconfigured');
    expect(line['retrySeconds']).toBeGreaterThanOrEqual(30);
    expect(line['cure']).toMatch(/RSPAMD_PASSWORD/);
    await spool.judgeAll(...messages.slice(20));
    await daemon.until('pick all up', () => spool.names('queue').length === 40);
    expectNoStorm(server);
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
    await using spool = new DaemonSpool();
    const file = join(spool.folder, 'password');
    writeFileSync(file, 'wrong');
    const daemon = spool.start({ RSPAMD_URL: server.url, RSPAMD_PASSWORD_FILE: file });
    await daemon.says('daemon.owner');
    writeFileSync(file, 'right');
    await spool.judgeAll(...INNOCENT);
    await daemon.learns(6);
    expect(server.posts.filter(lacks('right')).length).toBeLessThanOrEqual(1);
  });

  test('in other ways, one after the other: all is held, and a SIGHUP tries again now', async () => {
    const wrong: readonly [Act, RegExp, atLeastSeconds: number][] = [
      [failure(429, 'Too many authentication failures'), /the lock ends/, 60],
      [failure(500, 'invalid command'), /11334/, 0],
      [NOT_FOUND, /path prefix/, 0],
      [failure(404, '<x@y> has been already learned as ham, ignore it'), /backend/, 0],
    ];
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    for (const [index, [act, cure, atLeastSeconds]] of wrong.entries()) {
      const since = (event: string): unknown[] => daemon.logged(event).slice(index);
      server.play = always(act);
      server.forget();
      const [first = BAD, ...others] = makeMessages('ham', 6, 10 * index);
      await spool.judgeAll(first);
      await daemon.until('be held', () => since('controller.misconfigured').length > 0);
      const line = daemon.logged('controller.misconfigured').at(-1);
      expect(line).toMatchObject({ severity: 'err', cure: expect.stringMatching(cure) as string });
      expect(line?.['retrySeconds']).toBeGreaterThanOrEqual(atLeastSeconds);
      await spool.judgeAll(...others);
      await daemon.until('pick all up', () => spool.names('queue').length === 6);
      expectNoStorm(server);
      const tries = server.posts.length;
      daemon.signal('SIGHUP');
      await daemon.until('try again', () => server.posts.length > tries);
      server.play = plays();
      // by itself it would try again in half a minute
      await daemon.hurry('learn all', () => spool.waiting.length === 0);
      expect(since('controller.misconfigured')).toHaveLength(1);
      expect(since('controller.up')).toHaveLength(1);
    }
    expect(spool.quarantined).toEqual([]);
  });
});

describe.concurrent('watch --once ends with', () => {
  const ONCE = ['--once'];

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

  const emptyFile = (lib: string): void => writeFileSync(join(lib, 'spam', 'empty.eml'), '');
  const withoutSpam = (lib: string): void => rmSync(join(lib, 'spam'), { recursive: true });
  const queued = INNOCENT.map(({ name }) => `queue/ham/${name}`);
  const empty = 'drop/spam/empty.eml';

  test.each<[code: number, when: string, Pass]>([
    [0, 'all is done', { learned: 6, left: [] }],
    [1, 'something was quarantined', { bad: TOO_LARGE, learned: 6, left: [] }],
    [
      1,
      'something was quarantined and something is left',
      { bad: TOO_LARGE, prepare: emptyFile, learned: 6, left: [empty] },
    ],
    [75, 'a message is deferred', { bad: CLOSES, learned: 6, left: [`queue/spam/${BAD.name}`] }],
    [75, 'the controller refuses connections', { url: nobody, learned: 0, left: queued }],
    [75, 'a file is empty', { prepare: emptyFile, learned: 6, left: [empty] }],
    [75, 'a class folder is missing', { prepare: withoutSpam, learned: 6, left: [] }],
  ])('%i when %s', async (code, _, { bad, url, prepare, learned, left }) => {
    const play = bad === undefined ? plays() : plays({ when: isBad, act: bad });
    await using server = await FaultServer.start({ play });
    await using spool = new DaemonSpool();
    await spool.judgeAll(...(bad === undefined ? [] : [BAD]), ...INNOCENT);
    prepare?.(spool.lib);
    const daemon = spool.start({ RSPAMD_URL: url ?? server.url }, ONCE);
    expect(await daemon.ends()).toBe(code);
    expect(daemon.logged('message.learned')).toHaveLength(learned);
    expect(spool.waiting.sort()).toEqual([...left].sort());
  });

  test('0 when there is nothing to do, 75 when the whole spool is missing', async () => {
    await using spool = new DaemonSpool();
    expect(await spool.start({ RSPAMD_URL: nobody }, ONCE).ends()).toBe(0);
    rmSync(spool.lib, { recursive: true });
    const daemon = spool.start({ RSPAMD_URL: nobody }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(daemon.logged('spool.missing')).toHaveLength(1);
  });

  test('75 when the password is wrong, after one post; 0 when it is right again', async () => {
    await using server = await FaultServer.start({ play: always(UNAUTHORIZED) });
    await using spool = new DaemonSpool();
    await spool.judgeAll(...INNOCENT);
    // cron waits for it: not for as long as the daemon would hold the controller
    expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(75);
    expect(server.posts).toHaveLength(1);
    expect(spool.names('queue')).toHaveLength(6);
    server.play = plays();
    expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(0);
    expect(spool.waiting).toEqual([]);
  });

  test('75 when a file is still being written', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new DaemonSpool();
    const file = join(spool.lib, 'spam', 'growing.eml');
    writeFileSync(file, 'Subject: it grows\r\n\r\n');
    // By a process of its own: this one may be busy for as long as a file takes to settle.
    const growing = spawn('sh', ['-c', 'while echo 7c1f >>"$0"; do sleep 0.02; done', file]);
    try {
      expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(75);
    } finally {
      growing.kill('SIGKILL');
      await once(growing, 'close');
    }
    expect(spool.waiting).toEqual(['drop/spam/growing.eml']);
    expect(server.posts).toEqual([]);
  });

  test('75 when another owner is at work, who is not disturbed', async () => {
    await using server = await FaultServer.start({ play: always(SILENCE) });
    await using spool = new DaemonSpool();
    const owner = spool.start({ RSPAMD_URL: server.url });
    await owner.says('daemon.owner');
    await spool.judgeAll(...INNOCENT);
    await owner.until('post', () => server.open === 1);
    const second = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await second.ends()).toBe(75);
    expect(second.logged('daemon.standby')).toHaveLength(1);
    expect(second.logged('daemon.owner')).toEqual([]);
    expect(server.posts).toHaveLength(1);
  });
});

test('a log whose reader goes away does not keep the built daemon from learning', async () => {
  await using server = await FaultServer.start({ play: plays() });
  await using spool = new DaemonSpool();
  const LOG_PIPE = join(spool.folder, 'log');
  execFileSync('mkfifo', [LOG_PIPE]);
  const reader = openSync(LOG_PIPE, constants.O_RDWR);
  const settings = { RSPAMD_URL: server.url, SYSLOG_LEVEL: '7', LOG_PIPE };
  const daemon = await spool.spawn(settings, ['sh', '-c', 'exec "$@" >"$LOG_PIPE"', 'sh']);
  await spool.judgeAll(...INNOCENT.slice(0, 3));
  await daemon.until('learn some', () => spool.waiting.length === 0);
  closeSync(reader);
  await spool.judgeAll(...INNOCENT.slice(3));
  await daemon.until('learn the others', () => spool.waiting.length === 0);
  expect(server.posts).toHaveLength(12);
  expect(daemon.stderr).toBe('');
  expect(await daemon.stop()).toBe(0);
});

describe.concurrent('a stop', () => {
  const settingsFor = (server: FaultServer, SHUTDOWN_SECONDS: string) => {
    // the requests would hang for ten minutes
    return { RSPAMD_URL: server.url, RSPAMD_TIMEOUT_SECONDS: '600', SHUTDOWN_SECONDS };
  };

  /** Lets it have eight posts in flight that are never answered. */
  async function hang(daemon: Daemon, spool: DaemonSpool, server: FaultServer): Promise<void> {
    await spool.judgeAll(...INNOCENT);
    await daemon.learns(6);
    server.play = always(SILENCE);
    await spool.judgeAll(...makeMessages('spam', 20));
    await daemon.until('have eight in flight', () => server.open === 8);
    await daemon.until('pick all up', () => spool.names('queue').length === 20);
  }

  test('with eight posts hanging ends in SHUTDOWN_SECONDS, all still queued', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new DaemonSpool();
    const daemon = spool.start(settingsFor(server, '2'));
    await hang(daemon, spool, server);
    expect(await daemon.stop()).toBe(0);
    expect(spool.names('queue')).toHaveLength(20);
    expect(daemon.logged('daemon.stopped')).toHaveLength(1);
    expect(daemon.logged('message.deferred')).toEqual([]);
  });

  test('by a second signal ends the built daemon at once', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new DaemonSpool();
    const daemon = await spool.spawn(settingsFor(server, '600'));
    await hang(daemon, spool, server);
    daemon.signal('SIGTERM');
    // as often as it takes: two that come together are one to the kernel
    const again = setInterval(() => daemon.signal('SIGINT'), 50);
    try {
      expect(await daemon.ends()).toBe(1);
    } finally {
      clearInterval(again);
    }
    expect(spool.names('queue')).toHaveLength(20);
  });

  test('lets a post end whose answer comes in time', async () => {
    const slow = { ...SUCCESS, everyMs: 500 };
    await using server = await FaultServer.start({
      play: plays({ when: learns, act: slow, times: 1 }),
    });
    await using spool = new DaemonSpool();
    const daemon = spool.start({ RSPAMD_URL: server.url, SHUTDOWN_SECONDS: '5' });
    await spool.judgeAll(BAD);
    await daemon.until('post', () => server.open === 1);
    expect(await daemon.stop()).toBe(0);
    // learned and proved, or left for the next start: never half of it
    const isDone = daemon.logged('message.learned', BAD.name).length === 1;
    expect(spool.waiting).toEqual(isDone ? [] : [`queue/spam/${BAD.name}`]);
  });
});
