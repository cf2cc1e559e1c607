import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeMessage, makeMessages, tooShortMessage } from '../lab/messages.ts';
import { freePort } from '../../src/servers/ports.ts';
import { Spool } from './child-daemon.ts';
import type { ChildDaemon } from './child-daemon.ts';
import { FaultServer } from './fault-server.ts';
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

/** A message that no other test's server knows what to make of. */
const BAD = makeMessage('spam', 666);
const isBad = mentions(BAD.messageId);
const GROWTH = 'still growing: 7c1f\r\n';
const INNOCENT = makeMessages('ham', 6);

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
    expect(server.posts.filter(isBad)).toEqual([]);
    expect(server.posts.filter(({ body }) => body.length > 9000)).toEqual([]);
  });

  test.each([
    ['413', failure(413, 'Undefined Error')],
    ['an empty message', failure(500, 'Trying to learn an empty message')],
  ] as const)('is rejected with %s: it is quarantined at once', async (_, act) => {
    await using server = await FaultServer.start({ play: plays({ when: isBad, act }) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(BAD, ...INNOCENT);
    await daemon.says('message.quarantined');
    await daemon.learns(6);
    expect(spool.waiting).toEqual([]);
    expect(spool.quarantined).toEqual([BAD.name]);
    expect(server.posts.filter(isBad)).toHaveLength(1);
  });

  test('is refused as too short: one line, one post, gone', async () => {
    const short = tooShortMessage();
    const text = `<${short.messageId}> contains less tokens than required: 9 < 11`;
    await using server = await FaultServer.start({
      play: plays({ when: mentions(short.messageId), act: failure(204, text) }),
    });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(short);
    await daemon.says('message.refused');
    // what came after it is through: had it been tried again, that would have shown by now
    await spool.write(...INNOCENT);
    await daemon.learns(6);
    expect(await daemon.stop()).toBe(0);
    expect(daemon.logged('message.refused')).toHaveLength(1);
    expect(server.posts.filter(mentions(short.messageId))).toHaveLength(1);
    expect(spool.waiting).toEqual([]);
    expect(spool.quarantined).toEqual([]);
  });

  test('never proves while others do: it is let go unproven after two rounds', async () => {
    await using server = await FaultServer.start({ play: plays({ when: isBad, act: SUCCESS }) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(BAD);
    for (const [index, innocent] of INNOCENT.entries()) {
      const rounds = (): number => Math.floor(server.posts.filter(isBad).length / 4);
      const isDone = (): boolean => daemon.logged('message.learned', BAD.name).length > 0;
      await daemon.until('post it four times', () => rounds() > index || isDone());
      if (isDone()) break;
      await spool.write(innocent);
      await daemon.says('message.learned', innocent.name);
    }
    expect(await daemon.says('message.learned', BAD.name)).toMatchObject({ proven: false });
    expect(server.posts.filter(isBad)).toHaveLength(8);
    expect(daemon.logged('controller.unproven')).toEqual([]);
    expect(spool.waiting).toEqual([]);
    expect(spool.quarantined).toEqual([]);
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
    expect(server.posts.filter((post) => !lacks('right')(post))).toHaveLength(2 * 40);
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
    expect(spool.waiting).toEqual([]);
    expect(server.posts.filter(lacks('right')).length).toBeLessThanOrEqual(1);
  });

  test('as the password, too often: the lock-out is waited for', async () => {
    await using server = await FaultServer.start({
      play: always(failure(429, 'Too many authentication failures')),
    });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url, RSPAMD_PASSWORD: 'right' });
    await spool.write(...INNOCENT);
    const line = await daemon.says('controller.misconfigured');
    expect(line['retrySeconds']).toBeGreaterThanOrEqual(60);
    await daemon.until('pick all up', () => spool.names('.learnd/queue').length === 6);
    expect(server.posts).toHaveLength(1);
  });

  test.each([
    ["the scan worker's port", failure(500, 'invalid command'), /11334/],
    ['a wrong path', NOT_FOUND, /path prefix/],
    [
      'a controller without Bayes backend',
      failure(404, '<x@y> has been already learned as ham, ignore it'),
      /backend/,
    ],
  ] as const)('as %s: everything is held, and a SIGHUP tries again now', async (_, act, cure) => {
    await using server = await FaultServer.start({ play: always(act) });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await spool.write(...INNOCENT);
    expect(await daemon.says('controller.misconfigured')).toMatchObject({
      severity: 'err',
      cure: expect.stringMatching(cure) as string,
    });
    await daemon.until('pick all up', () => spool.names('.learnd/queue').length === 6);
    expect(server.posts).toHaveLength(1);
    daemon.signal('SIGHUP');
    await daemon.until('try again', () => server.posts.length === 2);
    server.play = plays();
    // by itself it would try again in half a minute
    await daemon.hurry('learn all', () => spool.waiting.length === 0);
    await daemon.learns(6);
    expect(spool.waiting).toEqual([]);
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
    expect(spool.waiting).toEqual([]);
    expect(daemon.logged('controller.unproven')).toHaveLength(1);
    expect(daemon.logged('message.learned')).toHaveLength(6);
    for (const { proven } of daemon.logged('message.learned')) expect(proven).toBe(true);
    expect(spool.quarantined).toEqual([]);
  });

  test('by refusing connections: all is learned once it is there', async () => {
    const socketPath = join(process.env['TMPDIR'] ?? '/tmp', `learnd-faults-${process.pid}.sock`);
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: `unix:${socketPath}` });
    await spool.write(...INNOCENT);
    expect(await daemon.says('controller.down')).toMatchObject({
      reason: 'connection refused: nobody listens there (ENOENT)',
    });
    await using server = await FaultServer.start({ play: plays(), socketPath });
    await daemon.learns(6);
    expect(spool.waiting).toEqual([]);
    expect(server.posts).toHaveLength(12);
    expect(daemon.logged('controller.up')).toHaveLength(1);
  });
});

describe.concurrent('watch --once ends with', () => {
  const ONCE = ['watch', '--once'];

  test('0 when all is done', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await daemon.ends()).toBe(0);
    expect(daemon.logged('message.learned')).toHaveLength(6);
    expect(spool.waiting).toEqual([]);
  });

  test('0 when there is nothing to do', async () => {
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: `http://127.0.0.1:${await freePort()}` }, ONCE);
    expect(await daemon.ends()).toBe(0);
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

  test('1 when something was quarantined, the rest being learned', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: isBad, act: failure(413, 'Undefined Error') }),
    });
    await using spool = new Spool();
    await spool.write(BAD, ...INNOCENT);
    const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await daemon.ends()).toBe(1);
    expect(spool.quarantined).toEqual([BAD.name]);
    expect(daemon.logged('message.learned')).toHaveLength(6);
  });

  test('1 when something was quarantined and something is left', async () => {
    await using server = await FaultServer.start({
      play: plays({ when: isBad, act: failure(413, 'Undefined Error') }),
    });
    await using spool = new Spool();
    await spool.write(BAD);
    writeFileSync(join(spool.lib, 'spam', 'empty.eml'), '');
    expect(await spool.start({ RSPAMD_URL: server.url }, ONCE).ends()).toBe(1);
  });

  test('75 when a message is deferred', async () => {
    await using server = await FaultServer.start({ play: plays({ when: isBad, act: CLOSES }) });
    await using spool = new Spool();
    await spool.write(BAD, ...INNOCENT);
    const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(daemon.logged('message.learned')).toHaveLength(6);
    expect(spool.names('.learnd/queue')).toEqual([BAD.name]);
  });

  test('75 when the controller refuses connections', async () => {
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    const daemon = spool.start({ RSPAMD_URL: `http://127.0.0.1:${await freePort()}` }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(spool.names('.learnd/queue')).toHaveLength(6);
  });

  test('75 when a file is empty', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    writeFileSync(join(spool.lib, 'spam', 'empty.eml'), '');
    const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(spool.waiting).toEqual(['empty.eml']);
  });

  test('75 when a file is still being written', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    const file = join(spool.lib, 'spam', 'growing.eml');
    const growing = setInterval(() => {
      appendFileSync(file, GROWTH);
    }, 20);
    try {
      const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
      expect(await daemon.ends()).toBe(75);
    } finally {
      clearInterval(growing);
    }
    expect(spool.waiting).toEqual(['growing.eml']);
    expect(server.posts.filter(({ body }) => body.includes(GROWTH))).toEqual([]);
  });

  test('75 when a class folder is missing, the other one being done', async () => {
    await using server = await FaultServer.start({ play: plays() });
    await using spool = new Spool();
    await spool.write(...INNOCENT);
    rmSync(join(spool.lib, 'spam'), { recursive: true });
    const daemon = spool.start({ RSPAMD_URL: server.url }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(daemon.logged('message.learned')).toHaveLength(6);
    expect(daemon.logged('spool.missing')).toHaveLength(1);
  });

  test('75 when the whole spool is missing', async () => {
    await using spool = new Spool();
    rmSync(spool.lib, { recursive: true });
    const daemon = spool.start({ RSPAMD_URL: 'http://127.0.0.1:9' }, ONCE);
    expect(await daemon.ends()).toBe(75);
    expect(daemon.logged('spool.missing')).toHaveLength(1);
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

describe.concurrent('a log whose reader goes away', () => {
  test('does not keep the daemon from learning', async () => {
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
});

describe.concurrent('a stop', () => {
  /** A daemon with eight posts in flight that are never answered. */
  async function hanging(spool: Spool, server: FaultServer, seconds: string): Promise<ChildDaemon> {
    const daemon = spool.start({ RSPAMD_URL: server.url, SHUTDOWN_SECONDS: seconds });
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
    const since = performance.now();
    expect(await daemon.stop()).toBe(0);
    // the requests would hang for 30 s; a busy machine gets its time
    expect(performance.now() - since).toBeLessThan(10_000);
    expect(spool.names('.learnd/queue')).toHaveLength(20);
    expect(spool.quarantined).toEqual([]);
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
    expect(server.posts.length).toBeGreaterThanOrEqual(1);
    // learned and proved, or left for the next start: never half of it
    const isDone = daemon.logged('message.learned', BAD.name).length === 1;
    expect(spool.waiting).toEqual(isDone ? [] : [BAD.name]);
  });
});
