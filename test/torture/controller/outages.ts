import { expect } from 'vitest';
import type { FaultRequest } from '../../faults/fault-server.ts';
import { messageIdOf } from '../../faults/plays.ts';
import type { RealServers } from '../../real/harness.ts';
import type { Script } from '../proxy.ts';
import type { Form } from './forms.ts';
import type { Stage } from './stage.ts';

/** Something that keeps everything from being learned for as long as it lasts. */
export interface Outage {
  readonly name: string;
  readonly begin: (stage: Stage) => unknown;
  /** @param waiting the Message-IDs of those that wait */
  readonly end: (stage: Stage, waiting: ReadonlySet<string>) => unknown;
  /** Posts that have to come in before it ends. */
  readonly probes: number;
  /** Lines of log that it may cost beside two for each message. */
  readonly lines: number;
  /** A fleet is on its way when it begins. */
  readonly isSudden?: boolean;
  /** Some messages may be learned all the same. */
  readonly isPartial?: boolean;
  /** Each question takes as long as the daemon waits. */
  readonly isSlow?: boolean;
}

/** An outage from its beginning to its end: nothing is lost, nobody is charged, the log stays short. */
export async function sitOut(stage: Stage, outage: Outage): Promise<void> {
  const { spool, daemon } = stage;
  await stage.warmUp();
  const before = outage.isSudden === true ? [stage.launch()] : [];
  await outage.begin(stage);
  const fleet = stage.launch();
  let waiting: ReadonlySet<string> = new Set();
  try {
    await daemon.until('pick all up', () => spool.names('drop').length === 0);
    await stage.untilPaused(fleet);
    const page = outage.isSlow === true ? '/healthz' : '/status';
    expect(await stage.pages.statusOf(page)).toBe(200);
    waiting = stage.waitingOf(fleet);
    if (outage.isPartial !== true) expect(waiting.size).toBeGreaterThan(0);
    await stage.probe(outage.probes);
  } finally {
    await outage.end(stage, waiting); // other tests need what is broken
  }
  for (const each of [...before, fleet]) {
    await stage.untilEnded(each);
    await stage.expectLearned(each);
    stage.expectNobodyCharged(each);
  }
  stage.expectFewLines(fleet, outage.lines);
}

export function outageOf(form: Form): Outage {
  return {
    name: form.name,
    begin: ({ proxy }) => {
      proxy.script = always(form);
    },
    end: (stage, waiting) => heal(stage, form, waiting),
    probes: form.slow === 'post' ? 3 : Math.max(6, form.faults.length),
    lines: 6 + 2 * form.faults.length,
    isPartial: true,
    isSlow: form.slow !== undefined,
  };
}

/** Does a form's harm to every connection, by turns. */
export function always({ faults }: Form): Script {
  let turn = 0;
  return (request) => {
    const fault = faults[turn % faults.length];
    if ((fault?.kind === 'intrusion') !== (request === undefined)) return undefined;
    turn += 1;
    return fault;
  };
}

/**
 * Ends the harm with the next message that is tried, not between a failure and the question to the
 * witness whose fault it was.
 */
export function heal({ proxy }: Stage, form: Form, waiting: ReadonlySet<string>): void {
  const harm = proxy.script;
  if (form.faults.some(({ kind }) => kind === 'intrusion')) {
    proxy.script = () => undefined;
    return;
  }
  let isOver = false;
  proxy.script = (request) => {
    isOver ||= request?.method === 'POST' && waiting.has(idOf(request));
    return isOver ? undefined : harm(request);
  };
}

/** The Message-ID of what is posted. */
export function idOf({ body }: FaultRequest): string {
  return messageIdOf(body);
}

/** Real outages of rspamd and its Redis. */
export function serverOutages({ redis, rspamd }: RealServers): readonly Outage[] {
  const outage = (
    name: string,
    [begin, end]: readonly [() => unknown, () => unknown],
    isSlow = false,
  ): Outage => ({ name, begin, end, probes: isSlow ? 3 : 10, lines: 30, isSudden: true, isSlow });
  const command = (...words: string[]) => {
    return () => redis.command(...words);
  };
  const frozen = (server: typeof redis | typeof rspamd) =>
    [() => server.freeze(), () => server.resume()] as const;
  const hang = (): void => {
    for (const { kind, pid } of rspamd.workers()) {
      if (kind === 'controller') process.kill(pid, 'SIGTERM');
    }
  };
  const maxmemory = (bytes: string) => command('CONFIG', 'SET', 'maxmemory', bytes);
  const replicaOf = (...master: string[]) => command('REPLICAOF', ...master);
  return [
    outage('Redis is full', [maxmemory('1'), maxmemory('0')]),
    outage('rspamd is frozen', frozen(rspamd), true),
    outage('Redis is stopped', [() => redis.stop(), () => redis.start()]),
    outage('Redis is a replica of nobody', [replicaOf('127.0.0.1', '9'), replicaOf('NO', 'ONE')]),
    outage('rspamd is stopped', [() => rspamd.stop(), () => rspamd.start()]),
    outage('Redis is frozen', frozen(redis), true),
    outage('the controller hangs for good after a SIGTERM', [hang, () => rspamd.restart()], true),
  ];
}
