import type { BugCount, Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import type { Controller, ControllerState } from '../delivery/controller.ts';
import type { MessageEvents, ResultCounts } from '../delivery/events.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { VERSION } from '../version.ts';
import { Cached } from './cached.ts';
import { countFreshMs, countSpool } from './counts.ts';
import type { Numbers, SpoolCounts, SpoolPaths } from './counts.ts';
import { CachedProbe, obstacleOf } from './probe.ts';
import type { Probe } from './probe.ts';

/**
 * What the running daemon says of itself: the answers of `/healthz`, `/readyz` and `/status` as
 * types, and how they come about. Never a password, and nothing of a message but how many there are.
 */

/** `GET /healthz`: 200 when `healthy`, else 503. */
export interface HealthReport {
  readonly healthy: boolean;
  readonly role: Role;
  /** What stands still; empty when healthy. */
  readonly reasons: readonly string[];
}

/** `GET /readyz`: 200 when `ready`, else 503. */
export interface ReadyReport {
  readonly ready: boolean;
  /** All that stands in the way; empty when ready. */
  readonly reasons: readonly string[];
}

/** `GET /status`, and `daemon` in `kopano-learnd status --json`. Times are ISO 8601. */
export interface DaemonReport {
  readonly version: string;
  readonly startedAt: string;
  readonly spool: string;
  readonly stateDir: string;
  readonly role: Role;
  readonly health: HealthReport;
  readonly readiness: ReadyReport;
  /** How messages ended since the start, each counted once. */
  readonly messages: Readonly<Record<Verdict, Readonly<ResultCounts>>>;
  /** What lies in the folders. `null` while it stands by: they are the owner's to count. */
  readonly waiting: SpoolCounts | null;
  /** Of what waits in the queue: after a failure or without proof, until a time of its own. */
  readonly deferred: number | null;
  readonly inFlight: number | null;
  readonly controllers: readonly ControllerReport[];
  /** Errors of the program itself (`daemon.bug`). */
  readonly bugs: BugCount;
}

/** `owner`: the spool is this daemon's. `standby`: it waits for it, or for the spool to appear. */
export type Role = 'owner' | 'standby';

export interface ControllerReport {
  /** As in RSPAMD_URL. */
  readonly name: string;
  /** What messages have shown of it; `starting` until the first one. */
  readonly state: ControllerState;
  /** Why it isn't up, as messages have shown. */
  readonly reason: string | null;
  /** Messages can be learned there now, as far as can be told. */
  readonly ready: boolean;
  /** Why not. */
  readonly obstacle: string | null;
  /** A message was posted there, and posted again, and rspamd remembered it: since the start. */
  readonly proven: boolean;
  readonly lastProofAt: string | null;
  /** The last time that learned messages were found missing (`controller.forgot`). */
  readonly forgot: { readonly missing: number; readonly at: string } | null;
  /** What Bayes has learned; `null` where it doesn't say. */
  readonly bayes: Numbers;
}

/** A part of the daemon that should come forward by itself. */
export interface Stall {
  /** What stands still, in words. */
  readonly what: string;
  /** Milliseconds since it should have come forward; 0 while it does. */
  readonly ms: number;
}

/** What the status room has to know of the daemon. */
export interface DaemonView {
  readonly spool: SpoolPaths;
  readonly controllers: readonly Controller[];
  readonly messages: MessageEvents;
  readonly bugs: Bugs;
  /** What is in memory; `undefined` while it isn't the owner. */
  counts(): Counts | undefined;
  /**
   * What doesn't come forward. Waiting for what is outside (rspamd, a spool that is missing or
   * another's) is no stall.
   */
  stalls(): readonly Stall[];
}

export interface Counts {
  readonly pending: number;
  readonly deferred: number;
  readonly inFlight: number;
}

/** A busy machine and a slow disk may hold something up for this long. */
const STALLED_MS = 30_000;

/** Puts the reports together when they are asked for. */
export class Reporter {
  readonly #view: DaemonView;
  readonly #controllers: readonly {
    readonly controller: Controller;
    readonly probe: CachedProbe;
  }[];
  readonly #counts: Cached<SpoolCounts>;
  readonly #startedAt: string;

  /** @param stop ends what is being asked of rspamd */
  constructor(view: DaemonView, clock: Clock, stop: AbortSignal) {
    this.#view = view;
    this.#controllers = view.controllers.map((controller) => ({
      controller,
      probe: new CachedProbe(controller, clock, stop),
    }));
    this.#counts = new Cached(clock, () => countSpool(view.spool));
    this.#startedAt = iso(clock.wall());
  }

  /** Asks nobody but this process. */
  health(): HealthReport {
    const reasons = this.#view
      .stalls()
      .filter(({ ms }) => ms > STALLED_MS)
      .map(({ what, ms }) => `${what} has stood still for ${Math.round(ms / 1000)} s`);
    return { healthy: reasons.length === 0, role: this.#role, reasons };
  }

  async readiness(): Promise<ReadyReport> {
    return this.#readinessOf(await this.#controllerReports());
  }

  async status(): Promise<DaemonReport> {
    const { spool, messages, bugs } = this.#view;
    const [controllers, waiting] = await Promise.all([
      this.#controllerReports(),
      this.#role === 'owner' ? this.#counts.get(countFreshMs) : null,
    ]);
    const counts = this.#view.counts();
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      spool: spool.libDir,
      stateDir: spool.stateDir,
      role: this.#role,
      health: this.health(),
      readiness: this.#readinessOf(controllers),
      messages: messages.countsOf,
      waiting,
      deferred: counts?.deferred ?? null,
      inFlight: counts?.inFlight ?? null,
      controllers,
      bugs: bugs.seen,
    };
  }

  #controllerReports(): Promise<ControllerReport[]> {
    const { pending, deferred, inFlight } = this.#view.counts() ?? NO_COUNTS;
    const isWanted = pending + deferred + inFlight > 0;
    return Promise.all(
      this.#controllers.map(async ({ controller, probe }) =>
        controllerReport(controller, await probe.get(), isWanted),
      ),
    );
  }

  get #role(): Role {
    return this.#view.counts() === undefined ? 'standby' : 'owner';
  }

  #readinessOf(controllers: readonly ControllerReport[]): ReadyReport {
    const reasons: string[] = [];
    if (this.#role === 'standby') reasons.push('it does not own the spool');
    if (!controllers.some(({ ready }) => ready)) {
      reasons.push(...controllers.map(({ name, obstacle }) => `${name}: ${obstacle ?? ''}`));
    }
    return { ready: reasons.length === 0, reasons };
  }
}

const NO_COUNTS: Counts = { pending: 0, deferred: 0, inFlight: 0 };

function controllerReport(
  controller: Controller,
  probe: Probe,
  isWanted: boolean,
): ControllerReport {
  const { name, state, reason, lastProofAt, forgot } = controller;
  const obstacle = obstacleOf({ state, reason, probe, isWanted });
  return {
    name,
    state,
    reason: reason ?? null,
    ready: obstacle === undefined,
    obstacle: obstacle ?? null,
    proven: lastProofAt !== undefined,
    lastProofAt: lastProofAt === undefined ? null : iso(lastProofAt),
    forgot: forgot === undefined ? null : { missing: forgot.missing, at: iso(forgot.at) },
    bayes: bayesIn(probe),
  };
}

/** What Bayes has learned, as a controller says. */
export function bayesIn(probe: Probe): Numbers {
  const learned = probe.kind === 'answers' ? probe.statistics.learned : undefined;
  return { spam: learned?.spam ?? null, ham: learned?.ham ?? null };
}

/** The same, whichever controller says so first: they share one store. */
export function bayesOf(controllers: readonly Pick<ControllerReport, 'bayes'>[]): Numbers {
  const first = controllers.find(({ bayes }) =>
    VERDICTS.some((verdict) => bayes[verdict] !== null),
  );
  return first?.bayes ?? { spam: null, ham: null };
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
