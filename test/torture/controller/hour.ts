import { expect } from 'vitest';
import { makeMessage } from '../../lab/messages.ts';
import type { PrivateRspamd } from '../../../src/servers/private-rspamd.ts';
import { DeliveryBench } from '../../support/delivery-bench.ts';
import { ScriptedTrainer, toAll } from '../../support/scripted-trainer.ts';
import { until } from '../../support/until.ts';
import { trainerAt } from '../../trainers/connect.ts';
import { always } from './campaign.ts';
import type { Form } from './forms.ts';
import { FaultProxy } from './proxy.ts';

/** An hour of one form of harm, on a clock of the test's, with the real trainer and rspamd. */

const HOUR_MS = 3_600_000;
const TIMEOUT_MS = 300;
const MESSAGES = 6;
/** 1, 2, 4, ... 256 s, then every five minutes, a fifth less by chance, and two posts more. */
const MOST_PROBES = 30;
/** A probe is four posts where each is answered 200, and one otherwise. */
const MOST_POSTS = 4 * MOST_PROBES;
let made = 0;

export async function hourOf(rspamd: PrivateRspamd, form: Form): Promise<void> {
  await using proxy = await FaultProxy.start({ target: rspamd.controllerPort });
  const real = trainerAt(proxy.url, { timeoutMs: TIMEOUT_MS });
  const { signal } = new AbortController();
  const trainer = new ScriptedTrainer(proxy.url).plays(
    toAll(({ verdict, text }) => real.learn(verdict, Buffer.from(text, 'latin1'), signal)),
  );
  const bench = new DeliveryBench({ trainers: [trainer], maxAttempts: 2 });
  /** Time flows only while nothing is on its way: an answer takes none of it. */
  const flow = (what: string, isSo: () => boolean, stepMs: number): Promise<void> =>
    until(what, () => {
      if (isSo()) return true;
      if (proxy.open === 0 && !isBusy()) bench.clock.advance(stepMs);
      return isSo();
    });
  const put = (): void => {
    made += 1;
    const verdict = made % 2 === 0 ? 'spam' : 'ham';
    const text = makeMessage(verdict, 70_000 + made).raw.toString('latin1');
    const body = text.slice(text.indexOf('\r\n\r\n') + 4);
    bench.put(`hour-${made}`, { verdict, body });
  };
  bench.scheduler.start();
  put();
  await flow('the first is learned', () => bench.isEmpty, 1);
  proxy.script = always(form);
  for (let i = 0; i < MESSAGES; i += 1) put();
  const first = trainer.posts.length;
  const end = bench.clock.monotonic() + HOUR_MS;
  await flow('an hour has passed', () => bench.isEmpty || bench.clock.monotonic() >= end, 500);
  expect(trainer.posts.length - first).toBeLessThan(MOST_POSTS);
  expect(bench.recorder.lines.length).toBeLessThan(2 * MOST_PROBES + 2 * form.faults.length);
  proxy.script = () => undefined;
  // What was answered 200 too often waits for another message's proof.
  put();
  await flow('all are learned', () => bench.isEmpty, 500);
  expect(bench.quarantined).toEqual([]);
  expect(
    bench.recorder.fieldOf('message.deferred', 'charges').filter((each) => each !== 0),
  ).toEqual([]);
  expect(bench.events.counts.learned + bench.events.counts.duplicate).toBe(MESSAGES + 2);
}

/** Connections and files that are being worked on; the proxy's port is none of them. */
function isBusy(): boolean {
  return process
    .getActiveResourcesInfo()
    .some((name) => /^(TCPSocketWrap|TCPConnectWrap|FSReq|CloseReq|GetAddrInfo)/.test(name));
}
