import type { Disposition } from '../delivery/result.ts';
import type { Held } from '../trainers/trainer.ts';
import { perClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import type { Found } from './sources/source.ts';

/**
 * The statistics of a run: each message, and each other thing in the sources, counts once. Names,
 * reasons and folders are kept up to a limit, so that a million of them take no more memory than ten.
 */
export const KINDS = [
  'learned',
  'known',
  'refused',
  'notMail',
  /** Deleted, or in a folder such as Junk under ham. */
  'passedOver',
  /** It could not be read, or rspamd can't take it. */
  'failed',
  /** A proxy held it back. */
  'heldBack',
  /** A newer file of its name counts instead. */
  'older',
  /** The journal has it. */
  'doneBefore',
] as const;

/** What came of a message, or is another thing in the sources ({@link Found}); the summary's words. */
export type Kind = (typeof KINDS)[number];

export type CountByVerdict = { -readonly [key in keyof PerClass<number>]: PerClass<number>[key] };

export interface Named {
  readonly place: string;
  readonly reason: string;
}

/** A mail folder of a source. */
export interface MailFolder {
  /** Its place. */
  readonly folder: string;
  readonly verdict: Verdict;
  /** Messages in it, without those that were deleted. */
  readonly messages: number;
  /** Why they are not taught; `null` when they are. */
  readonly passedOver: string | null;
}

/** Names kept of one kind. */
export const NAMES_KEPT = 10;
const FOLDERS_KEPT = 1_000;
/** Different reasons kept of one kind; rspamd's texts may hold anything. */
const REASONS_KEPT = 50;
const NEARLY_ALL = 0.9;
const KNOWN_FROM = 10;
const UNPROVEN_REASON = 'the filter said "learned" to every post, which is no proof';

export class RunStats {
  readonly counts: Readonly<Record<Kind, CountByVerdict>>;
  /** How often which reason was given; of what was learned only where proof is missing. */
  readonly reasons = byKind(() => new Map<string, number>());
  /** The first few that have a reason. */
  readonly names = byKind<Named[]>(() => []);
  /** What lets those through that were held back. */
  cure: string | undefined;
  readonly #folders = new Map<string, { -readonly [key in keyof MailFolder]: MailFolder[key] }>();
  readonly #onFailed: (named: Named) => void;

  /**
   * @param verdicts all classes
   * @param onFailed hears of what failed: the first few for each reason
   */
  constructor(verdicts: readonly Verdict[], onFailed: (named: Named) => void = () => undefined) {
    this.counts = byKind(() => perClass(verdicts, () => 0));
    this.#onFailed = onFailed;
  }

  /** What reading the sources found. */
  found(found: Found, verdict: Verdict): void {
    const { kind } = found;
    const isByFolder = kind === 'passedOver' && found.isByFolder === true;
    if (isByFolder) this.#liesIn(found.folder, verdict, found.reason);
    if (kind === 'message' || kind === 'doneBefore') this.#liesIn(found.folder, verdict);
    // A message counts when it ends.
    if (kind === 'message') return;
    this.#add(kind, verdict, 'reason' in found && !isByFolder ? found : undefined);
  }

  /** A message was held back. */
  held(place: string, verdict: Verdict, { reason, hint }: Held): void {
    this.cure ??= hint;
    this.#add('heldBack', verdict, { place, reason });
  }

  /** A message has ended. */
  finished(place: string, verdict: Verdict, disposition: Disposition): void {
    const [kind, reason] = resultOf(disposition);
    this.#add(kind, verdict, reason === undefined ? undefined : { place, reason });
  }

  total(...kinds: readonly Kind[]): number {
    return kinds.reduce((sum, kind) => sum + sumOf(this.counts[kind]), 0);
  }

  /** Messages that rspamd was asked about and that have ended. */
  get posted(): number {
    return this.total('learned', 'known', 'refused');
  }

  /** All of which something came, beside what is not taught and what the journal has. */
  get ended(): number {
    return this.posted + this.total('failed', 'heldBack');
  }

  /** rspamd knew nearly all of it already: is it true? */
  get isNearlyAllKnown(): boolean {
    const known = this.total('known');
    return known >= KNOWN_FROM && known >= NEARLY_ALL * this.total('known', 'learned');
  }

  /** Messages that were learned without a proof. */
  get unproven(): number {
    return [...this.reasons.learned.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The folders in which messages were found, by name; one that is taught after all appears once. */
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

  #add(kind: Kind, verdict: Verdict, named?: Named): void {
    const counts = this.counts[kind];
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (named === undefined) return;
    const { place, reason } = named;
    const reasons = this.reasons[kind];
    const known = reasons.get(reason) ?? 0;
    if (known > 0 || reasons.size < REASONS_KEPT) reasons.set(reason, known + 1);
    if (this.names[kind].length < NAMES_KEPT) this.names[kind].push({ place, reason });
    if (kind === 'failed' && known < NAMES_KEPT) this.#onFailed(named);
  }
}

/** What a message came to, and why, where there is something to say. */
function resultOf(disposition: Disposition): readonly [Kind, reason?: string] {
  switch (disposition.kind) {
    case 'learned':
      return disposition.proven ? ['learned'] : ['learned', UNPROVEN_REASON];
    case 'duplicate':
      return ['known'];
    case 'refused':
      return ['refused', inShort(disposition.reason)];
    case 'quarantined':
      return ['failed', disposition.reason];
  }
}

export function sumOf(counts: PerClass<number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export function byKind<T>(of: (kind: Kind) => T): Readonly<Record<Kind, T>> {
  return Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as Record<Kind, T>;
}

/** rspamd's reason without what differs from message to message. */
function inShort(reason: string): string {
  if (reason.includes('less tokens than required')) return 'too few words for Bayes';
  if (reason.includes('more tokens than allowed')) return 'too many words for Bayes';
  if (reason.includes('all learn conditions denied')) return 'Bayes is sure of it already';
  return reason;
}
