import type { BugCount, Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import type { Controller, ControllerState } from '../delivery/controller.ts';
import type { MessageEvents, ResultCounts } from '../delivery/events.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { VERSION } from '../version.ts';
import { Census } from './census.ts';
import type { SpoolPaths, Waiting } from './census.ts';
import { standstillReasons } from './heart.ts';
import type { Standstill } from './heart.ts';
import { obstacleAt } from './readiness.ts';
import { Survey } from './survey.ts';
import type { Look } from './survey.ts';

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
  readonly waiting: Waiting | null;
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
  readonly bayes: Readonly<Record<Verdict, number | null>>;
}

/** What the status room has to know of the daemon. */
export interface DaemonView {
  readonly spool: SpoolPaths;
  readonly controllers: readonly Controller[];
  readonly messages: MessageEvents;
  readonly bugs: Bugs;
  /** What is in memory; `undefined` while it isn't the owner. */
  counts(): Counts | undefined;
  standstills(): readonly Standstill[];
}

export interface Counts {
  readonly pending: number;
  readonly deferred: number;
  readonly inFlight: number;
}

/** Puts the reports together when they are asked for. */
export class Reporter {
  readonly #view: DaemonView;
  readonly #survey: Survey;
  readonly #census: Census;
  readonly #startedAt: string;

  constructor(view: DaemonView, options: { readonly clock: Clock; readonly stop: AbortSignal }) {
    this.#view = view;
    this.#survey = new Survey(options);
    this.#census = new Census(view.spool, options.clock);
    this.#startedAt = iso(options.clock.wall());
  }

  /** Asks nobody but this process. */
  health(): HealthReport {
    const reasons = standstillReasons(this.#view.standstills());
    return { healthy: reasons.length === 0, role: this.#role, reasons };
  }

  async readiness(): Promise<ReadyReport> {
    return this.#readinessOf(await this.controllers());
  }

  async status(): Promise<DaemonReport> {
    const { spool, messages, bugs } = this.#view;
    const [controllers, waiting] = await Promise.all([this.controllers(), this.waiting()]);
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

  /** What lies in the folders; `null` unless they are ours. */
  async waiting(): Promise<Waiting | null> {
    return this.#role === 'owner' ? this.#census.waiting() : null;
  }

  controllers(): Promise<ControllerReport[]> {
    const counts = this.#view.counts();
    const isWanted = counts !== undefined && counts.pending + counts.deferred + counts.inFlight > 0;
    return Promise.all(
      this.#view.controllers.map(async (controller) =>
        reportOf(controller, await this.#survey.look(controller), isWanted),
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

function reportOf(controller: Controller, look: Look, isWanted: boolean): ControllerReport {
  const { name, state, reason, lastProofAt, forgot } = controller;
  const obstacle = obstacleAt({ state, reason, look, isWanted });
  const learned = look.kind === 'answers' ? look.statistics.learned : undefined;
  return {
    name,
    state,
    reason: reason ?? null,
    ready: obstacle === undefined,
    obstacle: obstacle ?? null,
    proven: lastProofAt !== undefined,
    lastProofAt: lastProofAt === undefined ? null : iso(lastProofAt),
    forgot: forgot === undefined ? null : { missing: forgot.missing, at: iso(forgot.at) },
    bayes: { spam: learned?.spam ?? null, ham: learned?.ham ?? null },
  };
}

/** Reads what `/status` answered; `undefined` when that isn't a report of this program. */
export function daemonReportOf(content: unknown): DaemonReport | undefined {
  if (typeof content !== 'object' || content === null) return undefined;
  const fields = ['version', 'startedAt', 'spool', 'stateDir', 'role', 'health', 'readiness'];
  const more = ['messages', 'waiting', 'deferred', 'inFlight', 'controllers', 'bugs'];
  if (![...fields, ...more].every((field) => field in content)) return undefined;
  return content as DaemonReport;
}

/**
 * What Bayes has learned, whichever controller says so first: they share one store. `null` where
 * none does.
 */
export function bayesOf(
  controllers: readonly Pick<ControllerReport, 'bayes'>[],
): Readonly<Record<Verdict, number | null>> {
  const first = controllers.find(({ bayes }) =>
    VERDICTS.some((verdict) => bayes[verdict] !== null),
  );
  return first?.bayes ?? { spam: null, ham: null };
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
