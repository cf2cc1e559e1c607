import type { Finish } from '../learning/delivery.ts';
import type { Found } from './sources/source.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import type { Held } from '../trainers/trainer.ts';

/**
 * The account of a run: what came of every message of its sources, each counted once. Names are kept
 * for the first few of a kind only, so that a million of them take no more memory than ten.
 */
export const FATES = [
  'learned',
  'known',
  'refused',
  'notMail',
  'passedOver',
  'failed',
  'heldBack',
  'older',
  'doneBefore',
] as const;

/**
 * What came of a message: `known` when rspamd remembered it already, `passedOver` when it was deleted
 * or lies in a folder such as Junk under ham, `heldBack` when a proxy did not let it through, `older`
 * when a newer file of its name counts instead, `doneBefore` when the journal has it.
 */
export type Fate = (typeof FATES)[number];

export type CountByVerdict = Record<Verdict, number>;

export interface Named {
  readonly place: string;
  readonly reason: string;
}

/** A mail folder of a source. */
export interface Folder {
  /** Its place. */
  readonly folder: string;
  readonly verdict: Verdict;
  /** Messages in it, those that were deleted left out. */
  readonly messages: number;
  /** Why they are not taught; `null` when they are. */
  readonly passedOver: string | null;
}

/** Names kept of one kind. */
export const NAMES = 10;
/** A few messages are not recognised by rspamd when they come again. */
const UNPROVEN = 'rspamd said "learned" to every post, which is no proof';
/** Folders kept. */
export const FOLDERS = 1_000;
/** Different reasons kept of one kind; rspamd's texts may hold anything. */
const REASONS = 50;

export class Account {
  readonly counts: Readonly<Record<Fate, CountByVerdict>>;
  /** How often which reason was given, by fate. */
  readonly reasons: Readonly<Record<Fate, Map<string, number>>>;
  /** The first few of those that weren't mail, were refused, failed, or were learned without proof. */
  readonly names: Readonly<Record<Fate, Named[]>>;
  /** What lets those through that were held back. */
  cure: string | undefined;
  /** Messages that were taken out of SpamAssassin's wrapper. */
  readonly unwrapped: CountByVerdict = { spam: 0, ham: 0 };
  readonly #folders = new Map<string, { -readonly [key in keyof Folder]: Folder[key] }>();
  readonly #onFailed: (named: Named) => void;

  /** @param onFailed hears of what failed: messages, files, folders; the first few for each reason */
  constructor(onFailed: (named: Named) => void) {
    this.#onFailed = onFailed;
    this.counts = byFate(() => ({ spam: 0, ham: 0 }));
    this.reasons = byFate(() => new Map<string, number>());
    this.names = byFate(() => []);
  }

  /** What reading the sources came upon; messages count when they end. */
  found(found: Found, verdict: Verdict): void {
    switch (found.kind) {
      case 'message':
        if (found.isUnwrapped === true) this.unwrapped[verdict] += 1;
        this.#lies(found.folder, verdict);
        break;
      case 'passed':
        if (found.isByFolder === true) {
          this.#lies(found.folder, verdict, found.reason);
          this.#add('passedOver', verdict);
        } else this.#add('passedOver', verdict, found);
        break;
      case 'skipped':
        this.#add('notMail', verdict, found);
        break;
      case 'failed':
        this.#add('failed', verdict, found);
        break;
      case 'older':
        this.#add('older', verdict);
        break;
      case 'done':
        this.#lies(found.folder, verdict);
        this.#add('doneBefore', verdict);
        break;
    }
  }

  /** A message was held back. */
  held(place: string, verdict: Verdict, { reason, hint }: Held): void {
    this.cure ??= hint;
    this.#add('heldBack', verdict, { place, reason });
  }

  /** The folders in which messages were found, by name; without those that are taught after all. */
  get folders(): readonly Folder[] {
    return [...this.#folders.values()]
      .filter(({ folder, passedOver }) => passedOver === null || !this.#folders.has(folder))
      .sort((a, b) => (a.folder < b.folder ? -1 : 1));
  }

  /** A message has ended. */
  finished(place: string, verdict: Verdict, finish: Finish): void {
    switch (finish.kind) {
      case 'learned':
        this.#add('learned', verdict, finish.proven ? undefined : { place, reason: UNPROVEN });
        break;
      case 'duplicate':
        this.#add('known', verdict);
        break;
      case 'refused':
        this.#add('refused', verdict, { place, reason: inShort(finish.reason) });
        break;
      case 'quarantined':
        this.#add('failed', verdict, { place, reason: finish.reason });
        break;
    }
  }

  total(fate: Fate): number {
    return VERDICTS.reduce((sum, verdict) => sum + this.counts[fate][verdict], 0);
  }

  /** Messages that rspamd was asked about and that have ended. */
  get posted(): number {
    return this.total('learned') + this.total('known') + this.total('refused');
  }

  #lies(folder: string | undefined, verdict: Verdict, passedOver: string | null = null): void {
    if (folder === undefined) return;
    // One that is passed over may be named as well.
    const key = passedOver === null ? folder : `${verdict} ${folder}`;
    const known = this.#folders.get(key);
    if (known !== undefined) known.messages += 1;
    else if (this.#folders.size < FOLDERS)
      this.#folders.set(key, { folder, verdict, messages: 1, passedOver });
  }

  #add(fate: Fate, verdict: Verdict, named?: Named): void {
    this.counts[fate][verdict] += 1;
    if (named === undefined) return;
    const reasons = this.reasons[fate];
    const known = reasons.get(named.reason) ?? 0;
    if (known > 0 || reasons.size < REASONS) reasons.set(named.reason, known + 1);
    if (this.names[fate].length < NAMES) this.names[fate].push({ ...named });
    if (fate === 'failed' && known < NAMES) this.#onFailed(named);
  }
}

function byFate<T>(make: () => T): Record<Fate, T> {
  return Object.fromEntries(FATES.map((fate) => [fate, make()])) as Record<Fate, T>;
}

/** rspamd's reason without what differs from message to message. */
function inShort(reason: string): string {
  if (reason.includes('less tokens than required')) return 'too few words for Bayes';
  if (reason.includes('more tokens than allowed')) return 'too many words for Bayes';
  if (reason.includes('all learn conditions denied')) return 'Bayes is sure of it already';
  return reason;
}
