import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { Spool } from './child-daemon.ts';
import type { ChildDaemon } from './child-daemon.ts';
import { FaultServer } from './fault-server.ts';
import { SUCCESS, failure, learns, mentions, plays, statistics } from './plays.ts';
import type { Act, FaultRequest } from './fault-server.ts';

/** What the built daemon posts at most, and whom a message that always fails keeps waiting. */

const ODD = makeMessage('ham', 9_001);
const FRESH = makeMessage('spam', 9_002);
const POISON = Array.from({ length: 8 }, (_, index) => makeMessage('spam', 9_100 + index));

function isOf({ messageId }: { readonly messageId: string }): (request: FaultRequest) => boolean {
  const mentionsIt = mentions(messageId);
  return (request) => learns(request) && mentionsIt(request);
}

test('a message that is answered 200 for ever is posted eight times at most, restarts included', async () => {
  await using server = await FaultServer.start({ play: plays({ when: isOf(ODD), act: SUCCESS }) });
  await using spool = new Spool();
  const posts = (): number => server.requests.filter(isOf(ODD)).length;
  await spool.write(ODD);
  for (let start = 0; start < 6; start += 1) {
    const daemon = spool.start({ RSPAMD_URL: server.url });
    await daemon.says('message.deferred', ODD.name);
    await daemon.stop();
    expect(posts()).toBeLessThanOrEqual(6);
  }
  expect(spool.names('.learnd/queue')).toEqual([ODD.name]);
  // Another message shows that the controller stores: the rest is for this one.
  await spool.write(FRESH);
  const daemon = spool.start({ RSPAMD_URL: server.url });
  await daemon.says('message.learned', FRESH.name);
  await feedUntil(daemon, spool, () => daemon.logged('message.learned', ODD.name).length > 0);
  const last = await daemon.says('message.learned', ODD.name);
  expect(last).toMatchObject({
    proven: false,
    reason: expect.stringContaining('8 posts') as string,
  });
  expect(posts()).toBe(8);
});

test.each(['ERR user_script:1: Missing bytes in input', 'Internal error'])(
  'eight messages that always get "500 %s" keep no other one waiting, and are quarantined',
  async (words) => {
    const isPoison = (request: FaultRequest): boolean => POISON.some((one) => isOf(one)(request));
    const act: Act = failure(500, words);
    const stat = statistics(1_000, 1_000);
    const play = plays(
      { when: isPoison, act },
      { when: ({ path }) => path === '/stat', act: stat },
    );
    await using server = await FaultServer.start({ play });
    await using spool = new Spool();
    const daemon = spool.start({ RSPAMD_URL: server.url, LEARN_MAX_ATTEMPTS: '2' });
    await spool.write(...POISON);
    await daemon.until('all have failed', () =>
      POISON.every((one) => server.requests.some(isOf(one))),
    );
    await spool.write(FRESH);
    await daemon.says('message.learned', FRESH.name);
    await feedUntil(daemon, spool, () => spool.quarantined.length === POISON.length);
    expect(spool.quarantined.sort()).toEqual(POISON.map(({ name }) => name).sort());
    for (const line of daemon.logged('message.quarantined')) {
      expect(line['reason']).toContain(words);
    }
    expect(daemon.logged('controller.down').length).toBeLessThanOrEqual(2);
    expect(spool.waiting).toEqual([]);
  },
);

/** Writes one good message after the other, and sees each learned, until that is so. */
async function feedUntil(daemon: ChildDaemon, spool: Spool, isSo: () => boolean): Promise<void> {
  for (let index = 0; !isSo() && index < 100; index += 1) {
    const good = makeMessage('ham', 9_200 + index);
    await spool.write(good);
    await daemon.says('message.learned', good.name);
    await sleep(250);
  }
}
