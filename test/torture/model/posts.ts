import type { Filter } from '../../../src/filter.ts';
import { settleTime } from './chronicle.ts';
import type { Chronicle } from './chronicle.ts';
import { nameOf, tokensOf } from './files.ts';
import type { Found } from './files.ts';
import type { Process } from './machine.ts';
import type { PostWatcher, Request } from './rspamd.ts';

/** The laws of posting, held against every post, and what the posts prove. */

export const MAX_ATTEMPTS = 2;
/** Posts of a message after which it is let go. */
const UNPROVEN_POSTS = 8;

interface PostLawsOptions {
  readonly chronicle: Chronicle;
  /** All posts of a process that are under way. */
  readonly underWay: (process: Process) => readonly Request[];
  /** Those that are taught. */
  readonly filters: readonly Filter[];
  /** All posts that were ever sent. */
  readonly posts: () => readonly Request[];
}

export class PostLaws implements PostWatcher {
  /** How far the wall clock was off when rspamd was last asked for the time. */
  askedWith = 0;
  readonly #options: PostLawsOptions;
  readonly #chronicle: Chronicle;
  readonly #proven = new WeakMap<Process, Set<string>>();
  /** By any process: where two filters are taught it is kept for the next one. */
  readonly #everProven = new Set<string>();
  readonly #lastSent = new Map<string, number>();
  readonly #lastStored = new Map<string, number>();

  constructor(options: PostLawsOptions) {
    this.#options = options;
    this.#chronicle = options.chronicle;
  }

  /** True when a message of this key is posted and not answered. */
  isUnderWay(process: Process, key: string): boolean {
    return this.#options.underWay(process).some(({ found }) => found.message.key === key);
  }

  /** Answered 208, or that there is nothing to learn. */
  isProven(process: Process, found: Found): boolean {
    return this.#options.filters.every((filter) => this.#isProvenAt(filter, process, found));
  }

  #isProvenAt(filter: Filter, process: Process, found: Found): boolean {
    const proof = `${filter} ${proofOf(found)}`;
    const isKept = this.#options.filters.length > 1 && this.#everProven.has(proof);
    return isKept || this.#proven.get(process)?.has(proof) === true;
  }

  /**
   * Answered 200 for two rounds, and never 208; where a kill has cut a round short, the last post
   * between the proofs of others.
   */
  mayBeLetGo(process: Process, found: Found): boolean {
    return this.#options.filters.every(
      (filter) =>
        this.#isProvenAt(filter, process, found) ||
        this.#mayBeLetGoAt(filter, found) ||
        this.#mayBeSetAside(filter, process, found),
    );
  }

  #mayBeLetGoAt(filter: Filter, found: Found): boolean {
    const posts = this.#options
      .posts()
      .filter(
        ({ filter: at, found: its, outcome }) =>
          at === filter && outcome?.kind === 'learned' && proofOf(its) === proofOf(found),
      )
      .sort((a, b) => a.sentAt - b.sentAt);
    if (posts.length >= UNPROVEN_POSTS) return true;
    const last = posts.at(-1);
    if (last?.endedAt === undefined) return false;
    const { sentAt, endedAt } = last;
    const proofs = this.#options
      .posts()
      .filter(
        ({ controller, outcome, found: other }) =>
          controller === last.controller &&
          outcome?.kind === 'duplicate' &&
          other.message.key !== found.message.key,
      )
      .map((each) => each.endedAt ?? Infinity);
    return proofs.some((at) => at <= sentAt) && proofs.some((at) => at >= endedAt);
  }

  /** Who is to blame (law 6). */
  mayQuarantine(process: Process, found: Found): void {
    const { filters } = this.#options;
    const isRight =
      filters.some((filter) => this.#mayBeSetAside(filter, process, found)) &&
      filters.every(
        (filter) =>
          this.#mayBeSetAside(filter, process, found) ||
          this.#isProvenAt(filter, process, found) ||
          this.#mayBeLetGoAt(filter, found),
      );
    if (!isRight) this.#chronicle.violate(`${found.message.name} was quarantined without a reason`);
  }

  #mayBeSetAside(filter: Filter, process: Process, found: Found): boolean {
    const posts = this.#postsOf(process, found).filter((each) => each.filter === filter);
    if (posts.some(({ outcome }) => outcome?.kind === 'rejected')) return true;
    return posts.filter((post) => this.#isItsOwn(post)).length >= MAX_ATTEMPTS;
  }

  #isItsOwn(post: Request): boolean {
    const { outcome, endedAt = Infinity } = post;
    if (outcome?.kind !== 'deferred' || !post.wasAlone) return false;
    const after = this.#options
      .posts()
      .filter(
        (other) =>
          other.process === post.process &&
          other.controller === post.controller &&
          other.found.message.key !== post.found.message.key &&
          (other.endedAt ?? 0) >= endedAt,
      );
    return after.some(
      (other) =>
        other.outcome?.kind === 'duplicate' &&
        (!outcome.answered ||
          this.#postsOf(post.process, other.found).some(
            (each) =>
              each.outcome?.kind === 'learned' && (each.endedAt ?? 0) <= (other.endedAt ?? 0),
          )),
    );
  }

  #postsOf(process: Process, found: Found): Request[] {
    return this.#options
      .posts()
      .filter((each) => each.process === process && proofOf(each.found) === proofOf(found));
  }

  sent(request: Request): void {
    const { process, verdict, found } = request;
    const { message } = found;
    const { underWay } = this.#options;
    const { term, now } = this.#chronicle;
    this.#chronicle.trace(
      `daemon ${process.id} posts ${nameOf(found)} as ${verdict} to ${request.controller}`,
    );
    this.#chronicle.mustOwn(process, `posts ${message.name}`);
    if (verdict !== message.verdict)
      this.#chronicle.violate(`${message.name} is posted as ${verdict}`);
    if (message.taken === undefined)
      this.#chronicle.violate(`${message.name} is posted and was never taken`);
    for (const { found: other, filter } of underWay(process)) {
      const isSame =
        other.message.key === message.key ||
        (filter === request.filter &&
          (other.message.messageId === message.messageId || tokensOf(other) === tokensOf(found)));
      if (isSame)
        this.#chronicle.violate(
          `${message.name} is posted while ${other.message.name} is under way`,
        );
    }
    const at = `${request.filter} ${message.key}`;
    const lastSent = this.#lastSent.get(at) ?? 0;
    if ((message.taken ?? 0) < lastSent)
      this.#chronicle.violate(`${message.name} is posted after a newer one`);
    this.#lastSent.set(at, Math.max(lastSent, message.taken ?? 0));
    this.#mustHaveSettled(found);
    if (term !== undefined && message.knownTo !== term) {
      const known = now - term.since;
      const isMarked = message.stretches.get(found.length)?.marked === true;
      if (known < settleTime(isMarked)) {
        this.#chronicle.violate(
          `${message.name} is posted ${known} ms after the start that found it`,
        );
      }
    }
  }

  stored(request: Request): void {
    const { message } = request.found;
    this.#chronicle.trace(`${request.controller} stores ${nameOf(request.found)}`);
    const at = `${request.filter} ${message.key}`;
    const last = this.#lastStored.get(at) ?? 0;
    if ((message.taken ?? 0) < last) {
      this.#chronicle.violate(
        `${request.controller} learned ${message.name} after a newer verdict`,
      );
    }
    this.#lastStored.set(at, Math.max(last, message.taken ?? 0));
  }

  answered(request: Request): void {
    const { process, found, outcome } = request;
    const reason = outcome !== undefined && 'reason' in outcome ? ` (${outcome.reason})` : '';
    this.#chronicle.trace(
      `${request.controller} answers ${found.message.name}: ${outcome?.kind ?? ''}${reason}`,
    );
    if (outcome?.kind !== 'duplicate' && outcome?.kind !== 'refused') return;
    const proven = this.#proven.get(process) ?? new Set();
    const proof = `${request.filter} ${proofOf(found)}`;
    this.#proven.set(process, proven.add(proof));
    this.#everProven.add(proof);
  }

  /** Law 1: nothing is posted that was still being written, as far as can be seen. */
  #mustHaveSettled(found: Found): void {
    const { message, length } = found;
    const stretch = message.stretches.get(length);
    if (stretch === undefined) {
      this.#chronicle.violate(`${nameOf(found)} is posted, and was never so long`);
      return;
    }
    const isLate = stretch.since > message.takenAt;
    if (found.isWhole && !isLate) return;
    const lasted = Math.min(stretch.until, this.#chronicle.now) - stretch.since;
    if (lasted < settleTime(stretch.marked) - 0.001) {
      this.#chronicle.violate(
        `${nameOf(found)} is posted and had lain still for ${lasted} ms only`,
      );
    }
  }

  asked(): void {
    this.askedWith = this.#chronicle.timeline.wallError;
  }
}

function proofOf({ message, length }: Found): string {
  return `${message.name} ${length}`;
}
