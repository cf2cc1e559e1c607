import type { Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import type { SpoolConfig } from '../config.ts';
import type { Controller } from '../delivery/controller.ts';
import { sumOf } from '../delivery/events.ts';
import type { Learner } from '../delivery/store.ts';
import type { Host } from '../host.ts';
import type { DiskFault } from '../spool/disk-faults.ts';
import { VERDICTS, classesOf, ofClass, perClass } from '../verdict.ts';
import { VERSION } from '../version.ts';
import { closedFolders, countSpool } from './counts.ts';
import type { SpoolCounts } from './counts.ts';
import type { HistoryReport } from './history.ts';
import { learnedIn, obstacleIn, probe } from './probe.ts';
import type { Probe } from './probe.ts';

/**
 * What the running daemon says of itself, put together when somebody asks. Never a password, and
 * nothing of a message but how many there are. Times are ISO 8601, and `null` stands for what isn't
 * known. What rspamd answers, and what lies in the folders, is kept for a moment.
 */

/** What the status room has to know of the daemon. */
export interface DaemonView {
  readonly spool: Pick<SpoolConfig, 'libDir' | 'stateDir' | 'verdicts'>;
  readonly learners: readonly Learner[];
  readonly bugs: Bugs;
  /** What it runs as, and under. */
  readonly process: ProcessFacts;
  /** Places on the disk that don't work. */
  faults(): readonly DiskFault[];
  /** What keeps it from owning the spool; `undefined` while it owns it. */
  waitsFor(): string | undefined;
  /** What is in memory; `undefined` while it isn't the owner. */
  counts(): Counts | undefined;
  /** What of it is for one filter. */
  countsOf(learner: Learner): Counts | undefined;
  /** What was learned by day; `undefined` while it isn't the owner. */
  history(): HistoryReport | undefined;
  /** Its parts; to wait for what is outside (rspamd, a missing spool, its owner) is no stall. */
  stalls(): readonly Stall[];
}

export interface ProcessFacts {
  readonly pid: number;
  readonly uid: number;
  /** All groups. */
  readonly groups: readonly number[];
  readonly host: Host;
  /** The settings file; `null` when there is none. */
  readonly file: string | null;
  readonly after: 'remove' | 'archive';
}

export interface Counts {
  readonly pending: number;
  readonly deferred: number;
  readonly inFlight: number;
}

/** A part of the daemon that should come forward by itself. */
export interface Stall {
  readonly what: string;
  /** Milliseconds since it should have come forward; 0 while it does. */
  readonly ms: number;
}

/** The answer of `/healthz`: 200 when `healthy`, else 503. */
export type HealthReport = ReturnType<Reporter['health']>;
/** The answer of `/status`, and `daemon` in `kopano-learnd status --json`. */
export type DaemonReport = Awaited<ReturnType<Reporter['status']>>;
export type ControllerReport = ReturnType<typeof controllerReport>;

/** A busy machine and a slow disk may hold something up for this long. */
const STALLED_MS = 30_000;
const PROBE_FRESH_MS = 2_000;
/** About ten wrong passwords lock an address out for a minute (rspamd 4.1). */
const CLOSED_FRESH_MS = 75_000;

export class Reporter {
  readonly #view: DaemonView;
  readonly #probed: readonly { readonly of: Controller; readonly probe: () => Promise<Probe> }[];
  readonly #waiting: () => Promise<SpoolCounts>;
  readonly #closed: () => Promise<readonly DiskFault[]>;
  readonly #startedAt: string;

  /** @param stop ends what is being asked of rspamd */
  constructor(view: DaemonView, clock: Clock, stop: AbortSignal) {
    this.#view = view;
    const controllers = view.learners.flatMap((learner) => learner.controllers);
    this.#probed = controllers.map((of) => {
      let { lastProofAt } = of;
      const ask = (): Promise<Probe> => {
        lastProofAt = of.lastProofAt;
        return probe(of.trainer, clock, stop);
      };
      const freshMs = ({ kind }: Probe): number => {
        // A message that was proven since shows that the password is right.
        const isKnownRight = of.lastProofAt !== lastProofAt;
        return kind === 'closed' && !isKnownRight ? CLOSED_FRESH_MS : PROBE_FRESH_MS;
      };
      return { of, probe: cached(clock, ask, freshMs) };
    });
    this.#waiting = cached(
      clock,
      () => countSpool(view.spool),
      (_, tookMs) => Math.max(1_000, tookMs * 20),
    );
    this.#closed = cached(
      clock,
      () => closedFolders(view.spool),
      () => 1_000,
    );
    this.#startedAt = iso(clock.wall());
  }

  /** Whether its own parts come forward; asks nobody but this process. */
  health() {
    const reasons = this.#view
      .stalls()
      .filter(({ ms }) => ms > STALLED_MS)
      .map(({ what, ms }) => `${what} has stood still for ${Math.round(ms / 1000)} s`);
    return { healthy: reasons.length === 0, role: this.#role, reasons };
  }

  /** Whether messages would be learned now: it owns the spool, and one controller is ready. */
  async readiness() {
    return this.#readinessOf(await this.#controllerReports());
  }

  async status() {
    const { spool, learners, bugs } = this.#view;
    const isOwner = this.#role === 'owner';
    const [controllers, waiting, closed] = await Promise.all([
      this.#controllerReports(),
      // The folders are the owner's to count.
      isOwner ? this.#waiting() : null,
      isOwner ? this.#closed() : [],
    ]);
    const met = this.#view.faults();
    const counts = this.#view.counts();
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      spool: spool.libDir,
      stateDir: spool.stateDir,
      role: this.#role,
      health: this.health(),
      readiness: this.#readinessOf(controllers),
      /** How messages ended since the start, each counted once by each filter. */
      messages: countsOf(learners),
      /** The same, and what is in memory, for each filter. */
      trainers: learners.map((learner) => {
        const { deferred = null, inFlight = null } = this.#view.countsOf(learner) ?? {};
        const { filter: trainer, controllers, events } = learner;
        const names = controllers.map(({ name }) => name);
        return { trainer, controllers: names, messages: events.countsOf, deferred, inFlight };
      }),
      /** What lies in the folders. */
      waiting,
      /** Of what waits in the queue: after a failure or without proof, until a time of its own. */
      deferred: counts?.deferred ?? null,
      inFlight: counts?.inFlight ?? null,
      /** Learned for nobody since the start; `null` where LEARN_USER_HEADER is not set. */
      userless: learners.find(({ findUser }) => findUser)?.events.userless ?? null,
      controllers,
      bugs: bugs.seen,
      process: this.#view.process,
      /** What it has met, and folders that it could not take a message from. */
      faults: [...met, ...closed.filter((each) => !met.some(({ place }) => place === each.place))],
      waitsFor: this.#view.waitsFor() ?? null,
      /** By day, over restarts. */
      history: this.#view.history() ?? null,
    };
  }

  /** `standby`: it waits for the spool, or for it to appear. */
  get #role(): 'owner' | 'standby' {
    return this.#view.counts() === undefined ? 'standby' : 'owner';
  }

  #controllerReports(): Promise<ControllerReport[]> {
    const { pending = 0, deferred = 0, inFlight = 0 } = this.#view.counts() ?? {};
    const isWanted = pending + deferred + inFlight > 0;
    return Promise.all(
      this.#probed.map(async ({ of, probe }) =>
        // A password that it has refused must not be repeated.
        controllerReport(of, of.awaitsPassword ? undefined : await probe(), isWanted),
      ),
    );
  }

  #readinessOf(controllers: readonly ControllerReport[]) {
    const waitsFor = this.#view.waitsFor();
    const faults = this.#view.faults().map(({ place, says }) => `${place}: ${says}`);
    const why = [waitsFor, ...faults].filter((each) => each !== undefined).join('; ');
    const reasons: string[] = [];
    if (this.#role === 'standby') {
      reasons.push(`it does not own the spool${why === '' ? '' : `: ${why}`}`);
    }
    for (const learner of this.#view.learners) {
      const own = controllers.filter(({ trainer }) => trainer === learner.filter);
      if (own.some(({ ready }) => ready)) continue;
      reasons.push(...own.map(({ name, obstacle }) => `${name}: ${obstacle ?? ''}`));
    }
    return { ready: reasons.length === 0, reasons };
  }
}

function countsOf(learners: readonly Learner[]) {
  const [first] = learners;
  return perClass(first === undefined ? VERDICTS : classesOf(first.events.countsOf), (verdict) =>
    sumOf(learners.map(({ events }) => ofClass(events.countsOf, verdict))),
  );
}

/** @param isWanted messages wait for it */
function controllerReport(controller: Controller, seen: Probe | undefined, isWanted: boolean) {
  const { name, state, reason, lastProofAt, forgot } = controller;
  const obstacle = obstacleOf(controller, seen, isWanted);
  const cure = controller.cure ?? 'kopano-learnd doctor says what helps';
  return {
    name,
    trainer: controller.trainer.filter,
    /** What messages have shown of it, and why it isn't up. */
    state,
    reason: reason ?? null,
    /** Messages can be learned there now, as far as can be told, and why not. */
    ready: obstacle === null,
    obstacle,
    cure: obstacle === null ? null : cure,
    /** A message was posted there, and posted again, and rspamd remembered it: since the start. */
    proven: lastProofAt !== undefined,
    lastProofAt: lastProofAt === undefined ? null : iso(lastProofAt),
    /** The last time that learned messages were found missing (`controller.forgot`). */
    forgot: forgot === undefined ? null : { missing: forgot.missing, at: iso(forgot.at) },
    /** Classes of which it learns nothing until a setting is changed, and why. */
    heldBack: Object.fromEntries(controller.heldBack),
    bayes: learnedIn(seen),
  };
}

/**
 * Why a message that came now would not be learned soon at a controller.
 *
 * While messages wait, what they have shown decides: `down` and `misconfigured` stay so until a message
 * is tried again. With nothing waiting nothing would ever show that it is well again, so then its probe
 * decides, as for `starting` and `up`. What an `unproven` one says of itself is not believed.
 */
function obstacleOf(
  { state, reason, isOpen }: Controller,
  seen: Probe | undefined,
  isWanted: boolean,
): string | null {
  if (seen === undefined || state === 'unproven' || (isWanted && !isOpen)) {
    return `${state}: ${reason ?? 'no reason is known'}`;
  }
  return obstacleIn(seen);
}

/**
 * Asks anew when the last answer has had its time, by `freshMs` of it and of how long it took. One that
 * is under way serves all who ask; an error serves those who asked, and nobody after them.
 */
function cached<T>(
  clock: Clock,
  ask: () => Promise<T>,
  freshMs: (value: T, tookMs: number) => number,
): () => Promise<T> {
  let answer: Promise<T> | undefined;
  /** `undefined` while the answer is under way. */
  let isFresh: (() => boolean) | undefined;
  return () => {
    if (answer !== undefined && isFresh?.() !== false) return answer;
    isFresh = undefined;
    const startedAt = clock.monotonic();
    answer = ask();
    answer.then(
      (value) => {
        const endedAt = clock.monotonic();
        isFresh = () => clock.monotonic() < endedAt + freshMs(value, endedAt - startedAt);
      },
      () => (answer = undefined),
    );
    return answer;
  };
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
