import { expect, it } from 'vitest';
import { makeMessage, tooShortMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { freePort } from '../../src/servers/ports.ts';
import { examine } from '../support/examine.ts';
import { TIME } from '../support/needs.ts';
import { call } from '../support/run-cli.ts';
import { listsOf, signalStorage } from './fuzzy-storage.ts';
import { describeReal } from './harness.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

const FLAGS = { RSPAMD_FUZZY_FLAGS: 'spam:11,ham:13' };

function makeWorld(): Promise<World> {
  return World.make({ rspamd: { fuzzyFlags: [11, 13] } });
}

/** The storage writes what it was told after a second. */
async function untilIn(world: World, message: MadeMessage, lists: readonly string[]) {
  const isThere = async () => (await listsOf(world, message)).join() === lists.join();
  await until(`${message.name} in ${lists.join()}`, isThere);
}

describeReal('rspamd’s fuzzy storage', () => {
  it('has each message in the list of its class', async () => {
    await using world = await makeWorld();
    const daemon = world.start(FLAGS);
    const [spam, ham] = [makeMessage('spam', 1), makeMessage('ham', 2)];
    const short = tooShortMessage('spam', 1);
    for (const message of [spam, ham, short]) await world.judge(message);
    await world.untilDone();
    await untilIn(world, spam, ['FUZZY_11']);
    await untilIn(world, ham, ['FUZZY_13']);
    // Nothing to hash in it, and nothing for Bayes to learn.
    expect(daemon.logged('message.refused', short.name)).toHaveLength(1);
    expect(daemon.logged('message.learned')).toHaveLength(2);
    expect(world.quarantined).toEqual([]);
  });

  // In 4.1.5 what is deleted and then added within a second or a minute is gone.
  it('has a turned message in the list of its last verdict, and only there', TIME, async () => {
    await using world = await makeWorld();
    const daemon = world.start(FLAGS);
    const [turned, quickly] = [makeMessage('spam', 14), makeMessage('spam', 15)];
    await world.judge(turned, 'spam');
    await world.untilDone();
    await untilIn(world, turned, ['FUZZY_11']);
    await world.judge(turned, 'ham');
    // Turned as soon as it was added.
    await world.judge(quickly, 'spam');
    await until('it is added', () => daemon.logged('message.learned').length === 2);
    await world.judge(quickly, 'ham');
    await world.untilDone(300_000);
    for (const message of [turned, quickly]) await untilIn(world, message, ['FUZZY_13']);
    expect(daemon.logged('message.learned')).toHaveLength(4);
    expect(daemon.linesOf('message.deferred')).toEqual([]);
  });

  it('that is away holds its messages back, not those with nothing to hash, and blames none', async () => {
    await using world = await makeWorld();
    const daemon = world.start({ ...FLAGS, LEARN_MAX_ATTEMPTS: '1' });
    await daemon.says('daemon.owner');
    signalStorage(world, 'SIGSTOP');
    const held = [3, 4].map((seed) => makeMessage('ham', seed));
    for (const message of held) await world.judge(message, 'ham');
    const down = await daemon.says('controller.down');
    expect(down['reason']).toMatch(/fuzzy storage takes no hash for flag 1[13] \(500 IO timeout/);
    expect(down['cure']).toMatch(/^start rspamd's fuzzy worker/);
    const short = tooShortMessage('spam', 2);
    await world.judge(short, 'spam');
    await daemon.says('message.refused');
    const seen = await examine(world.environment(FLAGS));
    expect(seen.of(world.rspamd.url).at(-2)?.text).toMatch(
      /fuzzy storage (does not answer|has a list)/,
    );
    expect(daemon.logged('message.learned')).toEqual([]);
    signalStorage(world, 'SIGCONT');
    daemon.signal('SIGHUP');
    await world.untilDone();
    for (const message of held) await untilIn(world, message, ['FUZZY_13']);
    world.sent.delete(short.name);
    expect(await world.forgotten()).toEqual([]);
    expect(world.quarantined).toEqual([]);
  });

  it('gets what a daemon was killed over, learned but not added', async () => {
    await using world = await makeWorld();
    const message = makeMessage('spam', 5);
    // Nothing is to be deleted for spam: the storage is not needed before the message is proven.
    const settings = { RSPAMD_FUZZY_FLAGS: 'spam:11' };
    const first = await world.spawn(settings);
    await first.says('daemon.owner');
    signalStorage(world, 'SIGSTOP');
    await world.judge(message, 'spam');
    await until('the message learned', async () => {
      return (await world.redis.command('HGET', 'RS', 'learns_spam')) === '1';
    });
    await first.kill();
    // What it was sent meanwhile dies with it.
    signalStorage(world, 'SIGKILL');
    expect(world.waiting).toEqual([`queue/spam/${message.name}`]);
    await untilIn(world, message, []);
    await world.spawn(settings);
    await world.untilDone();
    await untilIn(world, message, ['FUZZY_11']);
  });

  it('without a list for a flag holds that class back, which status and doctor name', async () => {
    await using world = await makeWorld();
    const settings = { RSPAMD_FUZZY_FLAGS: 'spam:11,ham:99' };
    const STATUS_LISTEN = `127.0.0.1:${await freePort()}`;
    const daemon = world.start({ ...settings, STATUS_LISTEN, LEARN_MAX_ATTEMPTS: '1' });
    await world.judge(makeMessage('ham', 6));
    const wrong = await daemon.says('controller.misconfigured');
    const spam = makeMessage('spam', 6);
    await world.judge(spam);
    await untilIn(world, spam, ['FUZZY_11']);
    await daemon.says('message.learned', spam.name);
    expect(wrong['reason']).toContain('flag 99 (404 No fuzzy rules matched for flag 99)');
    expect(wrong['cure']).toContain('correct RSPAMD_FUZZY_FLAGS');
    const status = await call(['status'], world.environment({ STATUS_LISTEN }));
    expect(status.out).toMatch(/ holds back ham: its fuzzy storage takes no hash for\s+flag 99 /);
    const seen = await examine(world.environment({ STATUS_LISTEN, ...settings }));
    expect(seen.lines.filter(({ text }) => /flag 99.*Cure: give a rule/.test(text))).not.toEqual(
      [],
    );
    const cured = await examine(world.environment({ STATUS_LISTEN, ...FLAGS }));
    expect(cured.lines.filter(({ text }) => text.includes('a list with flag 11 and 13'))).toEqual([
      expect.objectContaining({ state: 'ok' }),
    ]);
    await daemon.stop();
    expect(world.waiting).toHaveLength(1);
    expect(world.quarantined).toEqual([]);
  });

  it('gets what relearn learns, proven or not', async () => {
    await using world = await makeWorld();
    const messages = [8, 9, 10, 11].map((seed) => makeMessage('spam', seed));
    for (const message of messages) await world.judge(message, 'spam');
    const KOPANO_SPAMD_LIB = `${world.folder}/no-spool`;
    const environment = world.environment({ KOPANO_SPAMD_LIB, LEARN_STATE_DIR: '', ...FLAGS });
    const stop = new AbortController();
    const result = await call(['relearn', '--json', '--spam', `${world.lib}/spam`], environment, {
      input: '',
      stop: stop.signal,
      // It would wait for rspamd's own count.
      onErr: (text) => {
        if (text.includes("waiting for rspamd's own count")) stop.abort();
      },
    });
    expect(JSON.parse(result.out)).toMatchObject({ learned: { spam: messages.length } });
    for (const message of messages) await untilIn(world, message, ['FUZZY_11']);
  });
});
