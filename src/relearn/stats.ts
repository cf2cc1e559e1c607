import type { Disposition } from '../delivery/result.ts';
import type { Held } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import type { Found } from './sources/source.ts';

/**
 * What came of a message or of another thing in the sources: `failed` when it could not be read or
 * rspamd can't take it, `passedOver` when it was deleted or lies in a folder such as Junk under ham,
 * `deferred` when a proxy held it back, `superseded` when a newer file of its name counts instead,
 * `doneBefore` when the journal has it.
 */
const RESULTS = [
  ...(['learned', 'duplicate', 'refused', 'notMail', 'passedOver', 'failed'] as const),
  ...(['deferred', 'superseded', 'doneBefore'] as const),
] as const;

export type RunResult = (typeof RESULTS)[number];

export type CountByVerdict = Record<Verdict, number>;

export interface Named {
  readonly place: string;
  readonly reason: string;
}

/** A mail folder of a source. */
export interface MailFolder {
  /** Its place. */
  readonly folder: string;
  readonly verdict: Verdict;
  /** Messages in it, those that were deleted left out. */
  readonly messages: number;
  /** Why they are not taught; `null` when they are. */
  readonly passedOver: string | null;
}

/** Names kept of one result. */
export const NAMES_KEPT = 10;
/** Folders kept. */
export const FOLDERS_KEPT = 1_000;
/** Different reasons kept of one result; rspamd's texts may hold anything. */
const REASONS_KEPT = 50;
/** A few messages are not recognised by rspamd when they come again. */
const UNPROVEN_REASON = 'rspamd said "learned" to every post, which is no proof';

/**
 * The statistics of a run, each message counted once. Names are kept for the first few of a result
 * only, so that a million of them take no more memory than ten.
 */
export class RunStats {
  readonly counts = byResult<CountByVerdict>(() => ({ spam: 0, ham: 0 }));
  /** How often which reason was given. */
  readonly reasons = byResult(() => new Map<string, number>());
  /** The first few that have a reason. */
  readonly names = byResult<Named[]>(() => []);
  /** What lets the deferred ones through. */
  cure: string | undefined;
  /** Messages that were taken out of SpamAssassin's wrapper. */
  readonly unwrapped: CountByVerdict = { spam: 0, ham: 0 };
  readonly #folders = new Map<string, { -readonly [key in keyof MailFolder]: MailFolder[key] }>();
  readonly #onFailed: (named: Named) => void;

  /** @param onFailed hears of what failed: messages, files, folders; the first few for each reason */
  constructor(onFailed: (named: Named) => void) {
    this.#onFailed = onFailed;
  }

  /** What reading the sources found; messages count when they end. */
  found(found: Found, verdict: Verdict): void {
    switch (found.kind) {
      case 'message':
        if (found.isUnwrapped === true) this.unwrapped[verdict] += 1;
        this.#liesIn(found.folder, verdict);
        break;
      case 'passed':
        if (found.isByFolder === true) this.#liesIn(found.folder, verdict, found.reason);
        this.#add('passedOver', verdict, found.isByFolder === true ? undefined : found);
        break;
      case 'skipped':
        this.#add('notMail', verdict, found);
        break;
      case 'failed':
        this.#add('failed', verdict, found);
        break;
      case 'older':
        this.#add('superseded', verdict);
        break;
      case 'done':
        this.#liesIn(found.folder, verdict);
        this.#add('doneBefore', verdict);
        break;
    }
  }

  /** A message was held back. */
  held(place: string, verdict: Verdict, { reason, hint }: Held): void {
    this.cure ??= hint;
    this.#add('deferred', verdict, { place, reason });
  }

  /** A message has ended. */
  finished(place: string, verdict: Verdict, finish: Disposition): void {
    switch (finish.kind) {
      case 'learned':
        this.#add(
          'learned',
          verdict,
          finish.proven ? undefined : { place, reason: UNPROVEN_REASON },
        );
        break;
      case 'duplicate':
        this.#add('duplicate', verdict);
        break;
      case 'refused':
        this.#add('refused', verdict, { place, reason: inShort(finish.reason) });
        break;
      case 'quarantined':
        this.#add('failed', verdict, { place, reason: finish.reason });
        break;
    }
  }

  total(result: RunResult): number {
    return this.counts[result].spam + this.counts[result].ham;
  }

  /** Messages that rspamd was asked about and that have ended. */
  get posted(): number {
    return this.total('learned') + this.total('duplicate') + this.total('refused');
  }

  /** The folders in which messages were found, by name; without those that are taught after all. */
  get folders(): readonly MailFolder[] {
    return [...this.#folders.values()]
      .filter(({ folder, passedOver }) => passedOver === null || !this.#folders.has(folder))
      .sort((a, b) => (a.folder < b.folder ? -1 : 1));
  }

  #liesIn(folder: string | undefined, verdict: Verdict, passedOver: string | null = null): void {
    if (folder === undefined) return;
    // One that is passed over may be named as well.
    const key = passedOver === null ? folder : `${verdict} ${folder}`;
    const known = this.#folders.get(key);
    if (known !== undefined) known.messages += 1;
    else if (this.#folders.size < FOLDERS_KEPT)
      this.#folders.set(key, { folder, verdict, messages: 1, passedOver });
  }

  #add(result: RunResult, verdict: Verdict, named?: Named): void {
    this.counts[result][verdict] += 1;
    if (named === undefined) return;
    const { place, reason } = named;
    const reasons = this.reasons[result];
    const known = reasons.get(reason) ?? 0;
    if (known > 0 || reasons.size < REASONS_KEPT) reasons.set(reason, known + 1);
    if (this.names[result].length < NAMES_KEPT) this.names[result].push({ place, reason });
    if (result === 'failed' && known < NAMES_KEPT) this.#onFailed(named);
  }
}

export function sumOf(counts: CountByVerdict): number {
  return VERDICTS.reduce((sum, verdict) => sum + counts[verdict], 0);
}

function byResult<T>(make: () => T): Readonly<Record<RunResult, T>> {
  return Object.fromEntries(RESULTS.map((result) => [result, make()])) as Record<RunResult, T>;
}

/** rspamd's reason without what differs from message to message. */
function inShort(reason: string): string {
  if (reason.includes('less tokens than required')) return 'too few words for Bayes';
  if (reason.includes('more tokens than allowed')) return 'too many words for Bayes';
  if (reason.includes('all learn conditions denied')) return 'Bayes is sure of it already';
  return reason;
}
