import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Controller } from '../../src/delivery/controller.ts';
import { FINAL_RESULTS } from '../../src/delivery/result.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { START } from '../support/manual-clock.ts';
import { ScriptedTrainer, WRONG_PASSWORD } from '../support/scripted-trainer.ts';
import { IDLE, StatusBench, WELL, deliveryOf, wellTrainer } from '../support/status-bench.ts';
import { put } from '../support/test-spool.ts';

const ONE_WAITS = { ...IDLE, pending: 1 };
const FAILURE = {
  reason: 'connection refused',
  answered: false,
  wasProbe: false,
  suspect: undefined,
};
const UNKNOWN = { spam: undefined, ham: undefined };

/** The bench, with one trainer whose `/stat` is counted. */
async function counting() {
  const bench = await StatusBench.start();
  const { trainer } = bench;
  const seen = { bench, trainer, asked: 0 };
  const statistics = trainer.statistics.bind(trainer);
  trainer.statistics = () => {
    seen.asked += 1;
    return statistics();
  };
  return seen;
}

if (WRONG_PASSWORD.kind !== 'misconfigured') throw new Error('it is misconfigured');
const MISCONFIGURED = WRONG_PASSWORD;

/** What messages have shown of a controller. */
const SHOWN: Readonly<Record<string, (controller: Controller) => void>> = {
  starting: () => undefined,
  up: (controller) => controller.proved(deliveryOf('a')),
  down: (controller) => controller.failed(FAILURE),
  misconfigured: (controller) => {
    controller.misconfigured({ ...MISCONFIGURED, password: false }, false);
  },
  unproven: (controller) => {
    for (const key of ['a', 'b']) controller.unproven(deliveryOf(key), false);
  },
};

describe('/healthz', () => {
  test.each([
    ['owner', IDLE],
    ['standby', undefined],
  ])(
    'is well as %s while the loops turn, whatever rspamd does, and asks it nothing',
    async (role, counts) => {
      const seen = await counting();
      seen.bench.counts = counts;
      seen.bench.controller.failed(FAILURE);
      expect(await seen.bench.get('/healthz')).toMatchObject({
        status: 200,
        text: `{"healthy":true,"role":"${role}","reasons":[]}\n`,
      });
      expect(seen.asked).toBe(0);
    },
  );

  test('is not well when something stands still, and says what', async () => {
    const bench = await StatusBench.start();
    bench.stalls = [{ what: 'pickup', ms: 40_000 }];
    expect(await bench.get('/healthz')).toMatchObject({
      status: 503,
      text: '{"healthy":false,"role":"owner","reasons":["pickup has stood still for 40 s"]}\n',
    });
  });
});

describe('/readyz', () => {
  test('is not ready while it stands by', async () => {
    const bench = await StatusBench.start();
    bench.counts = undefined;
    expect(await bench.get('/readyz')).toMatchObject({
      status: 503,
      text: '{"ready":false,"reasons":["it does not own the spool: another daemon owns it"]}\n',
    });
  });

  const silent = { figures: undefined, clock: undefined };
  const young = { ...WELL, hasBackend: false, learned: UNKNOWN, uptimeSeconds: 1 };
  test.each<[string, string, { figures?: Statistics | undefined; clock?: undefined }, RegExp]>([
    // What messages have shown, and what rspamd says of itself when somebody asks.
    ['starting', 'waits', {}, /^$/],
    ['up', 'waits', {}, /^$/],
    ['up', 'waits', silent, /does not answer/],
    ['up', 'waits', { figures: undefined }, /wrong password/],
    ['up', 'waits', { figures: young }, /still starting/],
    ['up', 'waits', { figures: { ...WELL, hasBackend: false } }, /no Bayes backend/],
    ['up', 'waits', { figures: { ...WELL, learned: UNKNOWN } }, /backend does not answer/],
    ['down', 'waits', {}, /^down: connection refused$/],
    ['misconfigured', 'waits', {}, /^misconfigured: 401/],
    ['unproven', 'waits', {}, /^unproven: /],
    // Nothing waits that could show that it is well again.
    ['down', 'does not wait', {}, /^$/],
    ['misconfigured', 'does not wait', {}, /^$/],
    ['down', 'does not wait', silent, /does not answer/],
    ['unproven', 'does not wait', {}, /^unproven: /],
  ])(
    'tells of a controller that is %s while a message %s',
    async (shown, waits, says, obstacle) => {
      const bench = await StatusBench.start();
      if (waits === 'waits') bench.counts = ONE_WAITS;
      SHOWN[shown]?.(bench.controller);
      Object.assign(bench.trainer, says);
      const { status, text } = await bench.get('/readyz');
      const { reasons } = JSON.parse(text) as { reasons: string[] };
      expect(reasons.join().replace('http://one:11334: ', '')).toMatch(obstacle);
      expect(status).toBe(reasons.length === 0 ? 200 : 503);
    },
  );

  test('is ready as long as one of several controllers is well, else tells of each', async () => {
    const trainers = [wellTrainer('http://one:11334'), wellTrainer('http://two:11334')];
    const bench = await StatusBench.start({ trainers });
    bench.counts = ONE_WAITS;
    const [one, two] = bench.controllers;
    one?.failed(FAILURE);
    expect((await bench.get('/readyz')).status).toBe(200);
    two?.failed(FAILURE);
    expect((await bench.json('/readyz'))['reasons']).toEqual([
      'http://one:11334: down: connection refused',
      'http://two:11334: down: connection refused',
    ]);
  });
});

describe('rspamd is asked', () => {
  test('once for all who want to know, and again after two seconds', async () => {
    const seen = await counting();
    seen.trainer.figures = undefined;
    seen.trainer.clock = undefined;
    await Promise.all([seen.bench.get('/readyz'), seen.bench.get('/readyz')]);
    seen.bench.clock.advance(1_900);
    expect((await seen.bench.get('/readyz')).status).toBe(503);
    expect(seen.asked).toBe(1);
    seen.trainer.figures = WELL;
    seen.bench.clock.advance(200);
    expect((await seen.bench.get('/readyz')).status).toBe(200);
  });

  test('for two seconds at most', async () => {
    const { bench, trainer } = await counting();
    const hang = (signal: AbortSignal): Promise<undefined> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
    Object.assign(trainer, { statistics: hang });
    const asked = bench.get('/readyz');
    await bench.clock.flowUntil('it asks', () => bench.clock.timers === 1);
    bench.clock.advance(2_000);
    expect((await asked).text).toContain('it does not answer');
    expect(bench.clock.timers).toBe(0);
  });

  test('again where it did not show its statistics, once a message was proven since', async () => {
    const seen = await counting();
    seen.trainer.figures = undefined;
    expect((await seen.bench.get('/readyz')).status).toBe(503);
    seen.trainer.figures = WELL;
    seen.bench.clock.advance(2_100);
    expect((await seen.bench.get('/readyz')).status).toBe(503);
    seen.bench.controller.proved(deliveryOf('a'));
    expect((await seen.bench.get('/readyz')).status).toBe(200);
    expect(seen.asked).toBe(2);
  });

  test.each([0, 3_600_000])(
    'rarely where the password may be wrong, where the clock was put back by %d ms, and never with one that it refused',
    async (backMs) => {
      const seen = await counting();
      const { clock, controller } = seen.bench;
      if (backMs > 0) {
        clock.wall = () => START + backMs;
        controller.proved(deliveryOf('a'));
        clock.wall = () => START;
      }
      seen.trainer.figures = undefined;
      for (let i = 0; i < 60; i += 1) {
        expect((await seen.bench.get('/readyz')).status).toBe(503);
        clock.advance(1_000);
      }
      expect(seen.asked).toBe(1);
      controller.misconfigured(MISCONFIGURED, false);
      clock.advance(600_000);
      expect((await seen.bench.get('/readyz')).text).toContain('misconfigured: 401');
      expect(seen.asked).toBe(1);
    },
  );
});

describe('/status', () => {
  test('tells everything that is known', async () => {
    const bench = await StatusBench.start();
    bench.spool.drop('spam', 'a.eml');
    bench.spool.enqueue('ham', 'b.eml');
    put(bench.spool.statePath('quarantine/spam/c.eml'), 'c');
    put(bench.spool.statePath('quarantine/spam/c.eml.json'), '{}');
    bench.counts = { pending: 1, deferred: 2, inFlight: 3 };
    bench.controller.proved(deliveryOf('d'));
    bench.controller.forgot = { missing: 42, at: START };
    bench.controller.heldBack.set('ham', 'no list for it');
    bench.messages.ended(deliveryOf('d'), { kind: 'learned', proven: true }, 20);
    bench.bugs.report(new TypeError('x is not a function'), 'the dispatcher');
    const at = new Date(bench.clock.wall()).toISOString();
    expect(await bench.json('/status')).toMatchObject({
      version: expect.any(String) as string,
      startedAt: new Date(START).toISOString(),
      spool: bench.spool.lib,
      stateDir: bench.spool.stateDir.root.path,
      role: 'owner',
      health: { healthy: true },
      readiness: { ready: true, reasons: [] },
      messages: { spam: { learned: 1, duplicate: 0 }, ham: { learned: 0 } },
      waiting: {
        dropped: { spam: 1, ham: 0 },
        queued: { spam: 0, ham: 1 },
        quarantined: { spam: 1, ham: 0 },
        released: { spam: 0, ham: 0 },
      },
      deferred: 2,
      inFlight: 3,
      controllers: [
        {
          name: 'http://one:11334',
          state: 'up',
          reason: null,
          ready: true,
          obstacle: null,
          cure: null,
          proven: true,
          lastProofAt: new Date(START).toISOString(),
          forgot: { missing: 42, at: new Date(START).toISOString() },
          heldBack: { ham: 'no list for it' },
          bayes: { spam: 150, ham: 230 },
        },
      ],
      bugs: {
        count: 1,
        last: { where: 'the dispatcher', error: 'TypeError: x is not a function', at },
      },
    });
  });

  test('says null of what it does not know, and leaves the folders to the owner', async () => {
    const bench = await StatusBench.start({ trainers: [new ScriptedTrainer()] });
    rmSync(bench.spool.dropPath('spam'), { recursive: true });
    expect(await bench.json('/status')).toMatchObject({
      waiting: { dropped: { spam: null, ham: 0 } },
      controllers: [{ proven: false, lastProofAt: null, forgot: null, bayes: { spam: null } }],
    });
    bench.counts = undefined;
    expect(await bench.json('/status')).toMatchObject({
      role: 'standby',
      waiting: null,
      deferred: null,
      inFlight: null,
      readiness: { ready: false },
    });
  });

  test('tells of a folder that is missing, and is ready for the other', async () => {
    const bench = await StatusBench.start();
    const place = `${bench.spool.lib}/spam`;
    rmSync(place, { recursive: true });
    const { faults, readiness } = await bench.json('/status');
    expect(faults).toEqual([{ place, code: 'ENOENT', says: 'missing' }]);
    expect(readiness).toEqual({ ready: true, reasons: [] });
    // A stand-by takes nothing.
    bench.counts = undefined;
    expect((await bench.json('/status'))['faults']).toEqual([]);
  });

  test('counts a folder at most once a second', async () => {
    const bench = await StatusBench.start();
    await bench.json('/status');
    bench.spool.drop('spam', 'a.eml');
    expect(await bench.json('/status')).toMatchObject({ waiting: { dropped: { spam: 0 } } });
    bench.clock.advance(1_100);
    expect(await bench.json('/status')).toMatchObject({ waiting: { dropped: { spam: 1 } } });
  });
});

describe('/metrics', () => {
  /** The samples by their name with its labels. */
  async function samples(bench: StatusBench): Promise<Map<string, number>> {
    const { text, type } = await bench.get('/metrics');
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => {
        const end = line.lastIndexOf(' ');
        return [line.slice(0, end), Number(line.slice(end + 1))];
      }),
    );
  }

  test('counts each message once, by verdict and outcome, from zero on', async () => {
    const bench = await StatusBench.start();
    const name = (verdict: string, outcome: string): string =>
      `kopano_learnd_messages_total{verdict="${verdict}",outcome="${outcome}"}`;
    const before = await samples(bench);
    for (const outcome of FINAL_RESULTS) {
      for (const verdict of ['spam', 'ham']) expect(before.get(name(verdict, outcome))).toBe(0);
    }
    bench.messages.ended(deliveryOf('a'), { kind: 'learned', proven: true }, 30);
    bench.messages.ended(deliveryOf('b', 'ham'), { kind: 'duplicate' }, 20);
    bench.messages.ended(deliveryOf('c', 'ham'), { kind: 'refused', reason: 'no' }, 20);
    bench.messages.ended(deliveryOf('d'), { kind: 'quarantined', reason: 'no' }, 20);
    bench.messages.ended(deliveryOf('e'), { kind: 'withdrawn' }, 1);
    bench.messages.superseded('ham', 'f');
    await samples(bench);
    const after = await samples(bench);
    for (const [verdict, outcome, count] of [
      ['spam', 'learned', 1],
      ['ham', 'learned', 0],
      ['ham', 'duplicate', 1],
      ['ham', 'refused', 1],
      ['spam', 'quarantined', 1],
      ['spam', 'withdrawn', 1],
      ['ham', 'superseded', 1],
    ] as const) {
      expect(after.get(name(verdict, outcome)), `${verdict} ${outcome}`).toBe(count);
    }
    const duration = 'kopano_learnd_learn_duration_seconds';
    expect(after.get(`${duration}_bucket{le="0.025",verdict="spam"}`)).toBe(0);
    expect(after.get(`${duration}_bucket{le="0.05",verdict="spam"}`)).toBe(1);
    expect(after.get(`${duration}_sum{verdict="spam"}`)).toBeCloseTo(0.03);
    expect(after.get(`${duration}_count{verdict="ham"}`)).toBe(0);
  });

  test('shows what waits, the controllers, what Bayes has learned, and errors', async () => {
    const trainers = ['one', 'two', 'three'].map((name) => wellTrainer(`http://${name}:11334`));
    const bench = await StatusBench.start({ trainers });
    bench.spool.drop('spam', 'a.eml');
    bench.spool.enqueue('spam', 'b.eml');
    put(bench.spool.statePath('quarantine/ham/c.eml'), 'c');
    bench.counts = { pending: 1, deferred: 4, inFlight: 0 };
    bench.controllers[1]?.failed(FAILURE);
    for (const key of ['a', 'b']) bench.controllers[2]?.unproven(deliveryOf(key), false);
    bench.bugs.report(new TypeError('x'), 'the dispatcher');
    const shown = [...(await samples(bench))].filter(([name]) =>
      /^kopano(?!.*(tot.*{|dur))/.test(name),
    );
    expect(Object.fromEntries(shown)).toEqual({
      'kopano_learnd_pending{verdict="spam"}': 2,
      'kopano_learnd_pending{verdict="ham"}': 0,
      kopano_learnd_deferred: 4,
      kopano_learnd_quarantined: 1,
      'kopano_learnd_controller_up{controller="http://one:11334"}': 1,
      'kopano_learnd_controller_up{controller="http://two:11334"}': 0,
      'kopano_learnd_controller_up{controller="http://three:11334"}': 0,
      'kopano_learnd_controller_unproven{controller="http://one:11334"}': 0,
      'kopano_learnd_controller_unproven{controller="http://two:11334"}': 0,
      'kopano_learnd_controller_unproven{controller="http://three:11334"}': 1,
      'kopano_learnd_bayes_learned{class="spam"}': 150,
      'kopano_learnd_bayes_learned{class="ham"}': 230,
      kopano_learnd_bugs_total: 1,
    });
  });

  test('has no sample of what is not known', async () => {
    const bench = await StatusBench.start({ trainers: [new ScriptedTrainer('http://one')] });
    bench.counts = undefined;
    const names = [...(await samples(bench)).keys()];
    for (const name of ['pending', 'deferred', 'quarantined', 'bayes_learned']) {
      expect(names.filter((each) => each.startsWith(`kopano_learnd_${name}`))).toEqual([]);
    }
    expect(names).toContain('kopano_learnd_controller_up{controller="http://one"}');
  });

  test('shows the process, and a lag of the event loop', async () => {
    const bench = await StatusBench.start();
    const all = await samples(bench);
    expect(all.get('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(all.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(all.get('process_open_fds')).toBeGreaterThan(5);
    expect(all.get('process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1000);
    // Node takes its first look a while after the last scrape.
    await sleep(300);
    const end = performance.now() + 400;
    while (performance.now() < end) continue;
    await nextTurn();
    expect((await samples(bench)).get('nodejs_eventloop_lag_max_seconds')).toBeGreaterThan(0.2);
  });
});

test('no page holds a name, an id or a reason of a message', async () => {
  const bench = await StatusBench.start();
  bench.spool.drop('spam', 'private-name.eml');
  bench.messages.ended(deliveryOf('private-key'), { kind: 'quarantined', reason: 'why' }, 1);
  for (const page of ['/healthz', '/readyz', '/status', '/metrics']) {
    expect((await bench.get(page)).text).not.toMatch(/private|why/);
  }
});
