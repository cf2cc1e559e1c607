import fs, { chmodSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { FINAL_RESULTS } from '../../src/delivery/result.ts';
import { daemonReportOf } from '../../src/status/client.ts';
import { START } from '../support/manual-clock.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { IDLE, StatusBench, WELL, deliveryOf, wellTrainer } from '../support/status-bench.ts';
import { put } from '../support/test-spool.ts';

const ONE_WAITS = { ...IDLE, pending: 1 };
const FAILURE = {
  reason: 'connection refused',
  answered: false,
  wasProbe: false,
  suspect: undefined,
};

describe('/healthz', () => {
  test('is well while the loops turn, as the owner and as a stand-by', async () => {
    const bench = await StatusBench.start();
    expect(await bench.get('/healthz')).toMatchObject({
      status: 200,
      text: '{"healthy":true,"role":"owner","reasons":[]}\n',
    });
    bench.counts = undefined;
    const answer = await bench.get('/healthz');
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.text).toContain('"role":"standby"');
  });

  test('is well whatever rspamd does, and asks it nothing', async () => {
    const bench = await StatusBench.start();
    for (const trainer of bench.trainers) {
      trainer.statistics = () => {
        throw new Error('it was asked');
      };
    }
    bench.controller.failed(FAILURE);
    expect((await bench.get('/healthz')).status).toBe(200);
  });

  test('is not well when something stands still, and says what', async () => {
    const bench = await StatusBench.start();
    bench.stalls = [{ what: 'pickup', ms: 40_000 }];
    const asked = bench.get('/healthz');
    await bench.clock.flowUntil('it looks twice', () => bench.clock.timers === 1);
    await bench.clock.flow(300);
    expect(await asked).toMatchObject({
      status: 503,
      text: '{"healthy":false,"role":"owner","reasons":["pickup has stood still for 40 s"]}\n',
    });
  });

  test('gives a daemon that was asleep a moment to go on', async () => {
    const bench = await StatusBench.start();
    bench.stalls = [{ what: 'pickup', ms: 40_000 }];
    const asked = bench.get('/healthz');
    await bench.clock.flowUntil('it looks twice', () => bench.clock.timers === 1);
    bench.stalls = [{ what: 'pickup', ms: 0 }];
    await bench.clock.flow(300);
    expect((await asked).status).toBe(200);
  });
});

describe('/readyz', () => {
  test('is ready when rspamd shows a backend, before the first message and after', async () => {
    const bench = await StatusBench.start();
    expect(bench.controller.state).toBe('starting');
    expect(await bench.get('/readyz')).toMatchObject({
      status: 200,
      text: '{"ready":true,"reasons":[]}\n',
    });
    bench.controller.proved(deliveryOf('a'));
    expect(bench.controller.state).toBe('up');
    expect((await bench.get('/readyz')).status).toBe(200);
  });

  test('is not ready while it stands by', async () => {
    const bench = await StatusBench.start();
    bench.counts = undefined;
    expect(await bench.get('/readyz')).toMatchObject({
      status: 503,
      text: '{"ready":false,"reasons":["it does not own the spool"]}\n',
    });
  });

  test('is not ready while rspamd does not answer, and is again when it does', async () => {
    const bench = await StatusBench.start();
    const [trainer] = bench.trainers;
    if (trainer === undefined) throw new Error('no trainer');
    trainer.figures = undefined;
    trainer.clock = undefined;
    const { status, text } = await bench.get('/readyz');
    expect(status).toBe(503);
    expect(JSON.parse(text)).toEqual({
      ready: false,
      reasons: ['http://one:11334: it does not answer'],
    });
    trainer.figures = WELL;
    bench.clock.advance(2_500);
    expect((await bench.get('/readyz')).status).toBe(200);
  });

  test('is not ready while its only controller is down, as long as a message waits for it', async () => {
    const bench = await StatusBench.start();
    bench.counts = ONE_WAITS;
    bench.controller.failed(FAILURE);
    expect(await bench.get('/readyz')).toMatchObject({
      status: 503,
      text: expect.stringContaining('"http://one:11334: down: ') as string,
    });
    bench.controller.proved(deliveryOf('c'));
    bench.clock.advance(2_500);
    expect((await bench.get('/readyz')).status).toBe(200);
  });

  test('is ready as long as one of several controllers is well, else tells of each', async () => {
    const trainers = [wellTrainer('http://one:11334'), wellTrainer('http://two:11334')];
    const bench = await StatusBench.start({ trainers });
    bench.counts = ONE_WAITS;
    const [one, two] = bench.controllers;
    one?.failed(FAILURE);
    expect((await bench.get('/readyz')).status).toBe(200);
    two?.failed(FAILURE);
    const { reasons } = await bench.json('/readyz');
    expect(reasons).toEqual([
      'http://one:11334: down: connection refused',
      'http://two:11334: down: connection refused',
    ]);
  });
});

describe('/status', () => {
  test('tells everything that is known, and is what its reader expects', async () => {
    const bench = await StatusBench.start();
    bench.spool.drop('spam', 'a.eml');
    bench.spool.enqueue('ham', 'b.eml');
    put(bench.spool.statePath('quarantine/spam/c.eml'), 'c');
    put(bench.spool.statePath('quarantine/spam/c.eml.json'), '{}');
    bench.counts = { pending: 1, deferred: 2, inFlight: 3 };
    bench.controller.proved(deliveryOf('d'));
    bench.controller.forgot = { missing: 42, at: START };
    bench.messages.ended(deliveryOf('d'), { kind: 'learned', proven: true }, 20);
    const report = await bench.json('/status');
    expect(report).toMatchObject({
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
          proven: true,
          lastProofAt: new Date(START).toISOString(),
          forgot: { missing: 42, at: new Date(START).toISOString() },
          bayes: { spam: 150, ham: 230 },
        },
      ],
    });
    expect(daemonReportOf(report)).toBe(report);
  });

  test('counts the errors of the program itself, and tells the last', async () => {
    const bench = await StatusBench.start();
    expect(await bench.json('/status')).toMatchObject({ bugs: { count: 0, last: null } });
    bench.bugs.report(new TypeError('x is not a function'), 'the dispatcher');
    bench.bugs.report(new TypeError('x is not a function'), 'the dispatcher');
    const at = new Date(bench.clock.wall()).toISOString();
    expect(await bench.json('/status')).toMatchObject({
      bugs: {
        count: 2,
        last: { where: 'the dispatcher', error: 'TypeError: x is not a function', at },
      },
    });
  });

  test('is shown again after one of them, which is in the log', async () => {
    const bench = await StatusBench.start();
    const [trainer] = bench.trainers;
    const { clock } = bench;
    const [statistics, monotonic] = [
      trainer?.statistics.bind(trainer),
      clock.monotonic.bind(clock),
    ];
    const isBroken = (): never => {
      throw new TypeError('x');
    };
    Object.assign(trainer ?? {}, { statistics: isBroken });
    expect((await bench.get('/status')).status).toBe(500);
    Object.assign(trainer ?? {}, { statistics });
    expect((await bench.get('/status')).status).toBe(200);
    clock.advance(10_000);
    // The count is the first to look at the clock that often.
    let looks = 0;
    clock.monotonic = () => ((looks += 1) === 3 ? isBroken() : monotonic());
    expect((await bench.get('/status')).status).toBe(500);
    clock.monotonic = monotonic;
    expect((await bench.get('/status')).status).toBe(200);
    expect(bench.recorder.fieldOf('daemon.bug', 'where')).toContain('the page /status');
  });

  test('says null of what it does not know', async () => {
    const bench = await StatusBench.start({ trainers: [new ScriptedTrainer()] });
    rmSync(bench.spool.dropPath('spam'), { recursive: true });
    expect(await bench.json('/status')).toMatchObject({
      waiting: { dropped: { spam: null, ham: 0 } },
      controllers: [{ proven: false, lastProofAt: null, forgot: null, bayes: { spam: null } }],
    });
  });

  test('leaves the folders to the owner while it stands by', async () => {
    const bench = await StatusBench.start();
    bench.counts = undefined;
    expect(await bench.json('/status')).toMatchObject({
      role: 'standby',
      waiting: null,
      deferred: null,
      inFlight: null,
      readiness: { ready: false },
    });
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
    bench.messages.ended(deliveryOf('a'), { kind: 'learned', proven: true }, 20);
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
  });

  test('shows how long learning took', async () => {
    const bench = await StatusBench.start();
    bench.messages.ended(deliveryOf('a'), { kind: 'learned', proven: true }, 30);
    const all = await samples(bench);
    const name = 'kopano_learnd_learn_duration_seconds';
    expect(all.get(`${name}_bucket{le="0.025",verdict="spam"}`)).toBe(0);
    expect(all.get(`${name}_bucket{le="0.05",verdict="spam"}`)).toBe(1);
    expect(all.get(`${name}_sum{verdict="spam"}`)).toBeCloseTo(0.03);
    expect(all.get(`${name}_count{verdict="ham"}`)).toBe(0);
  });

  test('shows what waits, the controllers and what Bayes has learned', async () => {
    const trainers = [wellTrainer('http://one:11334'), wellTrainer('http://two:11334')];
    const bench = await StatusBench.start({ trainers });
    bench.spool.drop('spam', 'a.eml');
    bench.spool.enqueue('spam', 'b.eml');
    put(bench.spool.statePath('quarantine/ham/c.eml'), 'c');
    bench.counts = { pending: 1, deferred: 4, inFlight: 0 };
    bench.controllers[1]?.failed(FAILURE);
    const all = await samples(bench);
    expect(all.get('kopano_learnd_pending{verdict="spam"}')).toBe(2);
    expect(all.get('kopano_learnd_pending{verdict="ham"}')).toBe(0);
    expect(all.get('kopano_learnd_deferred')).toBe(4);
    expect(all.get('kopano_learnd_quarantined')).toBe(1);
    expect(all.get('kopano_learnd_controller_up{controller="http://one:11334"}')).toBe(1);
    expect(all.get('kopano_learnd_controller_up{controller="http://two:11334"}')).toBe(0);
    expect(all.get('kopano_learnd_bayes_learned{class="spam"}')).toBe(150);
    expect(all.get('kopano_learnd_bayes_learned{class="ham"}')).toBe(230);
  });

  test('tells a controller that does not remember from one that is down', async () => {
    const trainers = [wellTrainer('http://one:11334'), wellTrainer('http://two:11334')];
    const bench = await StatusBench.start({ trainers });
    bench.counts = ONE_WAITS;
    const [forgets, down] = bench.controllers;
    forgets?.unproven(deliveryOf('a'), false);
    forgets?.unproven(deliveryOf('b'), false);
    down?.failed(FAILURE);
    const all = await samples(bench);
    for (const [name, unproven] of [
      ['one', 1],
      ['two', 0],
    ] as const) {
      const labels = `{controller="http://${name}:11334"}`;
      expect(all.get(`kopano_learnd_controller_up${labels}`)).toBe(0);
      expect(all.get(`kopano_learnd_controller_unproven${labels}`)).toBe(unproven);
    }
  });

  test('has no sample of what is not known', async () => {
    const bench = await StatusBench.start({ trainers: [new ScriptedTrainer('http://one')] });
    await samples(bench);
    bench.counts = undefined;
    const names = [...(await samples(bench)).keys()];
    for (const name of ['pending', 'deferred', 'quarantined', 'bayes_learned']) {
      expect(names.filter((each) => each.startsWith(`kopano_learnd_${name}`))).toEqual([]);
    }
    expect(names).toContain('kopano_learnd_controller_up{controller="http://one"}');
  });

  test('counts the errors of the program itself', async () => {
    const bench = await StatusBench.start();
    expect((await samples(bench)).get('kopano_learnd_bugs_total')).toBe(0);
    bench.bugs.report(new TypeError('x'), 'the dispatcher');
    expect((await samples(bench)).get('kopano_learnd_bugs_total')).toBe(1);
    expect((await samples(bench)).get('kopano_learnd_bugs_total')).toBe(1);
  });

  test('is shown where the descriptors can’t be counted', async () => {
    const bench = await StatusBench.start();
    const readdir = vi.spyOn(fs, 'readdirSync').mockImplementation(() => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
    });
    syncBuiltinESMExports();
    const all = await samples(bench).finally(() => {
      readdir.mockRestore();
      syncBuiltinESMExports();
    });
    expect(all.has('process_open_fds')).toBe(false);
    expect(all.get('kopano_learnd_bugs_total')).toBe(0);
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

describe('no page', () => {
  test('holds a name, an id or a reason of a message', async () => {
    const bench = await StatusBench.start();
    chmodSync(bench.spool.drop('spam', 'private-name.eml'), 0o600);
    bench.messages.ended(deliveryOf('private-key'), { kind: 'quarantined', reason: 'why' }, 1);
    for (const page of ['/healthz', '/readyz', '/status', '/metrics']) {
      expect((await bench.get(page)).text).not.toMatch(/private|why/);
    }
  });
});
