import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Settings } from '../lab/daemon.ts';
import { makeMessage, tooShortMessage } from '../lab/messages.ts';
import { FINAL_RESULTS } from '../../src/delivery/result.ts';
import type { FinalResult } from '../../src/delivery/result.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import type { Overview } from '../../src/status/command.ts';
import { runCli } from '../support/run-cli.ts';
import type { Result } from '../support/run-cli.ts';
import { describeReal } from './harness.ts';
import { World } from './world.ts';
import { StatusPages, samplesOf } from '../support/status-pages.ts';
import { until } from '../support/until.ts';

const LEARNED = 12;

/** The status of a daemon in a world, and of the commands that ask it. */
class Observer extends StatusPages {
  readonly #world: World;

  private constructor(world: World, listen: string) {
    super(listen);
    this.#world = world;
  }

  static async start(world: World, settings: Settings = {}): Promise<Observer> {
    const { listen } = await StatusPages.atFreePort();
    world.start({ STATUS_LISTEN: listen, ...settings });
    const observer = new Observer(world, listen);
    await observer.untilShown();
    return observer;
  }

  run(...args: readonly string[]): Promise<Result> {
    return runCli(args, this.#world.environment({ STATUS_LISTEN: this.listen }));
  }
}

function labelsOf(verdict: Verdict, ending: FinalResult): string {
  return `verdict="${verdict}",outcome="${ending}"`;
}

function sum(values: Iterable<number>): number {
  return [...values].reduce((total, value) => total + value, 0);
}

describeReal('the counters', () => {
  it('add up to the messages that were sent, whatever became of each', async () => {
    await using world = await World.make();
    const observer = await Observer.start(world, { LEARN_MAX_BYTES: '100000' });
    let sent = 0;
    const judge = async (...args: Parameters<World['judge']>): Promise<void> => {
      sent += 1;
      await world.judge(...args);
    };
    const known = makeMessage('ham', 900);
    expect(await world.status(known, 'ham')).toBe(200);
    for (let seed = 0; seed < LEARNED; seed += 1) {
      await judge(makeMessage(seed % 3 === 0 ? 'ham' : 'spam', seed));
    }
    await judge(known);
    await judge(tooShortMessage('spam'));
    const large = makeMessage('spam', 901);
    await judge({ ...large, raw: Buffer.concat([large.raw, Buffer.alloc(200_000, 'x\r\n')]) });
    await world.untilDone();

    await world.rspamd.stop();
    const [flipped, withdrawn] = [makeMessage('spam', 902), makeMessage('ham', 903)];
    await judge(flipped, 'spam');
    await judge(withdrawn, 'ham');
    const queued = [`queue/spam/${flipped.name}`, `queue/ham/${withdrawn.name}`];
    await until('both are queued', () => queued.every((place) => world.waiting.includes(place)));
    await judge(flipped, 'ham');
    await until('the newer one takes its place', () =>
      world.waiting.includes(`queue/ham/${flipped.name}`),
    );
    await rm(join(world.stateDir, 'queue/ham', withdrawn.name));
    await world.rspamd.start();
    await world.untilDone();
    await until('all are counted', async () => {
      const { spam, ham } = (await observer.report()).messages;
      return sum([...Object.values(spam), ...Object.values(ham)]) >= sent;
    });

    let text = '';
    // What rspamd said last may be two seconds old, and from before it was there again.
    await until('its controller is up', async () => {
      ({ text } = await observer.get('/metrics'));
      return [...samplesOf(text, 'kopano_learnd_controller_up').values()].join() === '1';
    });
    const messages = samplesOf(text, 'kopano_learnd_messages_total');
    expect(Object.fromEntries([...messages].filter(([, count]) => count > 0))).toEqual({
      'verdict="ham",outcome="learned"': LEARNED / 3 + 1,
      'verdict="spam",outcome="learned"': (LEARNED * 2) / 3,
      'verdict="ham",outcome="duplicate"': 1,
      'verdict="spam",outcome="refused"': 1,
      'verdict="spam",outcome="quarantined"': 1,
      'verdict="spam",outcome="superseded"': 1,
      'verdict="ham",outcome="withdrawn"': 1,
    });
    expect(sum(messages.values())).toBe(sent);
    for (const ending of FINAL_RESULTS) {
      const counted = sum(VERDICTS.map((each) => messages.get(labelsOf(each, ending)) ?? 0));
      expect(world.daemon.linesOf(`message.${ending}`), ending).toHaveLength(counted);
    }
    const durations = samplesOf(text, 'kopano_learnd_learn_duration_seconds_count');
    expect(sum(durations.values())).toBe(LEARNED + 1);
    expect(sum(samplesOf(text, 'kopano_learnd_pending').values())).toBe(0);
    expect([...samplesOf(text, 'kopano_learnd_quarantined').values()]).toEqual([1]);
    expect(samplesOf(text, 'kopano_learnd_bayes_learned').size).toBe(2);

    // What is released is a message once more, and has a fate of its own.
    expect(await observer.run('quarantine', 'release', '--all')).toMatchObject({ code: 0 });
    await until('it is back in quarantine, and counted', async () => {
      return (await observer.report()).messages.spam.quarantined === 2;
    });

    let overview: Overview | undefined;
    // It has two seconds for its answer, which a busy machine may need.
    await until('rspamd is reached', async () => {
      overview = JSON.parse((await observer.run('status', '--json')).out) as Overview;
      return overview.rspamd.every(({ reachable }) => reachable);
    });
    expect(overview).toMatchObject({
      dropped: { spam: 0, ham: 0 },
      queued: { spam: 0, ham: 0 },
      quarantined: { spam: 1, ham: 0 },
      faults: [],
      daemon: { kind: 'running', report: { messages: (await observer.report()).messages } },
      rspamd: [{ reachable: true }],
      bayes: { learned: { spam: expect.any(Number) as number } },
    });
  });
});

describeReal('an outage of rspamd', () => {
  it('leaves the daemon healthy and makes it not ready until it is over', async () => {
    await using world = await World.make();
    const observer = await Observer.start(world);
    // Before any message: what rspamd says of itself decides.
    await observer.untilReady();
    expect((await observer.report()).controllers).toMatchObject([
      { state: 'starting', ready: true, proven: false, lastProofAt: null },
    ]);
    await world.judge(makeMessage('spam', 1));
    await world.untilDone();
    expect((await observer.report()).controllers).toMatchObject([{ state: 'up', proven: true }]);

    await world.rspamd.stop();
    await until('it is not ready', async () => (await observer.statusOf('/readyz')) === 503);
    await world.judge(makeMessage('spam', 2));
    await until('it is missed', async () => {
      return (await observer.report()).controllers[0]?.state === 'down';
    });
    expect(await observer.statusOf('/readyz')).toBe(503);
    expect(await observer.statusOf('/healthz')).toBe(200);
    expect(await observer.run('health')).toEqual({
      code: 0,
      out: 'healthy: owns its spool\n',
      err: '',
    });
    const { out } = await observer.run('status');
    expect(out).toMatch(/^ {2}queued +1 +0 /m);
    expect(out).toMatch(/^daemon: owns the spool, not ready/m);
    expect(out).toMatch(/^rspamd at .*: down: connection refused/m);

    await world.rspamd.start();
    await world.untilDone();
    await observer.untilReady();
  });
});

describeReal('a stand-by', () => {
  it('is healthy, not ready, and both when it takes over, also with another state dir', async () => {
    await using world = await World.make();
    const owner = await Observer.start(world);
    await owner.untilReady();
    const other = { LEARN_STATE_DIR: join(world.folder, 'other') };
    const second = await Observer.start(world, other);
    expect(await second.run('health')).toEqual({ code: 0, out: 'healthy: stands by\n', err: '' });
    const refusal = await second.get('/readyz');
    expect(refusal.status).toBe(503);
    expect(JSON.parse(refusal.text)).toEqual({
      ready: false,
      reasons: [
        expect.stringMatching(
          /^it does not own the spool: .* (owned|locked) by another (daemon|process)$/,
        ),
      ],
    });
    await owner.untilReady();
    await world.daemons[0]?.stop();
    await second.untilReady();
    expect(await second.run('health')).toMatchObject({ out: 'healthy: owns its spool\n' });
  });
});
