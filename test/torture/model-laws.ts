import type { Verdict } from '../../src/spool/message.ts';
import type { Found, Message, WrittenFile, WrittenFiles } from './model-files.ts';
import { real } from './model-machine.ts';
import type { Place, Process, StepWatcher } from './model-machine.ts';
import { tokensOf } from './model-rspamd.ts';
import type { PostWatcher, Request } from './model-rspamd.ts';
import type { Timeline } from './model-time.ts';

/**
 * The laws of the spool, held against every single step that a daemon takes on the file system and
 * every post that it sends. What it breaks is noted, not thrown: the program would catch it.
 */
export const SETTLE_MS = 2_000;
export const MAX_ATTEMPTS = 2;
export const ARCHIVE_DAYS = 30;
const STUCK_MS = 600_000;
const DAY_MS = 86_400_000;

export const VERDICTS = ['spam', 'ham'] as const;

/** One tenure as the laws know it. */
export interface Term {
  readonly process: Process;
  readonly since: number;
}

export interface LawsOptions {
  readonly root: string;
  readonly timeline: Timeline<Process>;
  readonly files: WrittenFiles;
  /** Whether a process holds the lock of the state dir. */
  readonly owns: (process: Process) => boolean;
  /** All posts of a process that are under way. */
  readonly underWay: (process: Process) => readonly Request[];
  /** All posts that were ever sent. */
  readonly posts: () => readonly Request[];
}

export class Laws implements StepWatcher, PostWatcher {
  /** What was broken, in the order in which it was. */
  readonly broken: string[] = [];
  readonly lines: string[] = [];
  /** The last verdict of a key that pickup took. */
  readonly latest = new Map<string, Message>();
  /** Who owns the spool now. */
  term: Term | undefined;
  /** Endings less beginnings of what is in the queue, by `VERDICT/KEY`, for this tenure. */
  readonly open = new Map<string, number>();
  readonly #options: LawsOptions;
  #taken = 0;
  /** How far the wall clock was off when rspamd was asked for the time. */
  #askedWith = 0;
  readonly #released = new Set<string>();
  readonly #seen = new WeakMap<WrittenFile, Seen>();
  readonly #proven = new WeakMap<Process, Set<string>>();
  readonly #lastSent = new Map<string, number>();
  readonly #lastStored = new Map<string, number>();

  constructor(options: LawsOptions) {
    this.#options = options;
  }

  trace(line: string): void {
    this.lines.push(`${this.#options.timeline.now.toFixed(1).padStart(10)}  ${line}`);
  }

  violate(what: string): void {
    this.trace(`BROKEN: ${what}`);
    this.broken.push(what);
  }

  // --- steps on the file system

  looked(place: Place, ino: number): void {
    const drop = dropOf(place);
    // Who looks for a released one's sake doesn't look for the gate's.
    if (drop === undefined || this.#released.has(drop.name)) return;
    const file = this.#options.files.get(ino);
    if (file !== undefined) this.#see(file);
  }

  /** An operator wants one back. */
  released(key: string): void {
    this.#released.add(key);
  }

  renamed(process: Process, from: Place, to: Place, rename: () => void): void {
    const source = this.#options.files.findAt(from.address);
    const [start, end] = [stateOf(from), stateOf(to)];
    const drop = dropOf(from);
    if (
      drop !== undefined &&
      real.lstatSync(from.address, { throwIfNoEntry: false }) !== undefined
    ) {
      this.#mayTake(process, drop, from);
    }
    this.#mustOwn(process, `renames ${from.path}`);
    if (start?.folder === 'queue' && end?.folder === 'archive') this.#mayEnd(process, from, source);
    if (start?.folder === 'queue' && end?.folder === 'quarantine') {
      this.#mayQuarantine(process, source);
    }
    if (start?.folder === 'release') this.#mayReturn(process, start.key);
    if (end?.folder === 'queue') this.#mayReplace(process, to, source);
    if (from.path.startsWith('state/tmp/') && end?.folder === 'queue') this.#mayAdopt(from, end);
    rename();
    if (drop !== undefined) this.#tookNow(source, to);
    if (end?.folder === 'queue') this.#beganNow(`${end.verdict}/${end.key}`, source, from);
    if (end?.folder === 'quarantine' && typeof source === 'object') {
      this.trace(`quarantined ${source.message.name}`);
    }
    if (end?.folder === 'archive' && typeof source === 'object') {
      source.message.archived = to.path.slice('state/archive/'.length);
      this.#end(source, 'archived');
    }
  }

  removed(process: Process, place: Place, remove: () => void): void {
    const found = this.#options.files.findAt(place.address);
    const state = stateOf(place);
    this.#mustOwn(process, `removes ${place.path}`);
    if (dropOf(place) !== undefined) this.violate(`removed ${place.path} from the drop directory`);
    let fate = 'removed';
    if (typeof found === 'object') {
      const isNewer = this.#isSuperseded(found);
      const why = `${place.path} (${found.message.name})`;
      if (isNewer) fate = 'superseded';
      else if (state?.folder === 'queue') this.#mayEnd(process, place, found);
      else if (stagedOf(place) !== undefined) {
        fate = 'copied';
        if (!this.#isInQueue(found)) this.violate(`removed ${why}, and the queue has no copy`);
      } else if (state?.folder === 'quarantine' || state?.folder === 'release') {
        this.violate(`removed ${why}, and no newer verdict takes its place`);
      }
      if (state?.folder === 'archive' || place.path.startsWith('state/tmp/')) fate = '';
    }
    remove();
    if (typeof found === 'object' && fate !== '' && fate !== 'copied') this.#end(found, fate);
  }

  /** Old days of the archive, which go only when rspamd's clock agrees. */
  cleared(process: Process, place: Place): void {
    this.#mustOwn(process, `clears ${place.path}`);
    const { timeline } = this.#options;
    const [, day] = /^state\/archive\/((?:spam|ham)\/[\d-]+)$/.exec(place.path) ?? [];
    this.trace(`cleared ${place.path}`);
    if (day === undefined) {
      this.violate(`${place.path} was cleared`);
      return;
    }
    const age = (timeline.trueTime - Date.parse(day.replace(/^.*\//, ''))) / DAY_MS;
    if (Math.abs(this.#askedWith) > DAY_MS) this.violate(`cleared ${day} with a wrong clock`);
    if (age < ARCHIVE_DAYS - 1) this.violate(`cleared ${day}, ${age} days old`);
    for (const message of this.#options.files.messages) {
      if (message.archived?.startsWith(`${day}/`) === true) message.archived = undefined;
    }
  }

  asked(): void {
    this.#askedWith = this.#options.timeline.wallError;
  }

  /** A daemon became the owner. */
  began(process: Process): void {
    this.term = { process, since: this.#options.timeline.now };
    this.open.clear();
    for (const verdict of VERDICTS) {
      for (const key of real.readdirSync(`${this.#options.root}/state/queue/${verdict}`)) {
        this.open.set(`${verdict}/${key}`, 1);
      }
      for (const name of this.staged(verdict)) {
        this.open.set(`${verdict}/${name}`, 1);
      }
    }
  }

  /** A daemon says that a message has come to its end. */
  endedOne(verdict: string, key: string): void {
    const id = `${verdict}/${key}`;
    this.open.set(id, (this.open.get(id) ?? 0) - 1);
  }

  /** Keys that lie half-way to the queue. */
  staged(verdict: Verdict): string[] {
    const folder = `${this.#options.root}/lib/${verdict}`;
    if (!real.existsSync(folder)) return [];
    return real
      .readdirSync(folder)
      .filter((name) => name.startsWith('.learnd-'))
      .map((name) => name.slice('.learnd-'.length));
  }

  // --- posts

  sent(request: Request): void {
    const { process, verdict, found } = request;
    const { message } = found;
    const { timeline, underWay } = this.#options;
    this.trace(
      `${this.#nameOf(process)} posts ${nameOf(found)} as ${verdict} to ${request.controller}`,
    );
    this.#mustOwn(process, `posts ${message.name}`);
    if (verdict !== message.verdict) this.violate(`${message.name} is posted as ${verdict}`);
    if (message.taken === undefined) this.violate(`${message.name} is posted and was never taken`);
    for (const { found: other } of underWay(process)) {
      const isSame =
        other.message.key === message.key ||
        other.message.messageId === message.messageId ||
        tokensOf(other) === tokensOf(found);
      if (isSame)
        this.violate(`${message.name} is posted while ${other.message.name} is under way`);
    }
    const lastSent = this.#lastSent.get(message.key) ?? 0;
    if ((message.taken ?? 0) < lastSent)
      this.violate(`${message.name} is posted after a newer one`);
    this.#lastSent.set(message.key, Math.max(lastSent, message.taken ?? 0));
    this.#mustHaveSettled(found);
    if (message.knownTo !== this.term && this.term !== undefined) {
      const known = timeline.now - this.term.since;
      const isMarked = message.stretches.get(found.length)?.marked === true;
      if (known < settleTime(isMarked)) {
        this.violate(`${message.name} is posted ${known} ms after the start that found it`);
      }
    }
  }

  stored(request: Request): void {
    const { message } = request.found;
    this.trace(`${request.controller} stores ${nameOf(request.found)}`);
    const last = this.#lastStored.get(message.key) ?? 0;
    if ((message.taken ?? 0) < last) {
      this.violate(`${request.controller} learned ${message.name} after a newer verdict`);
    }
    this.#lastStored.set(message.key, Math.max(last, message.taken ?? 0));
  }

  answered(request: Request): void {
    const { process, found, outcome } = request;
    const reason = outcome !== undefined && 'reason' in outcome ? ` (${outcome.reason})` : '';
    this.trace(
      `${request.controller} answers ${found.message.name}: ${outcome?.kind ?? ''}${reason}`,
    );
    if (outcome?.kind !== 'duplicate' && outcome?.kind !== 'refused') return;
    const proven = this.#proven.get(process) ?? new Set();
    this.#proven.set(process, proven.add(proofOf(found)));
  }

  // --- what is right

  #mustOwn(process: Process, what: string): void {
    if (!this.#options.owns(process))
      this.violate(`${this.#nameOf(process)} ${what} and is no owner`);
  }

  #see(file: WrittenFile): void {
    const before = this.#seen.get(file);
    const seen = before?.term === this.term ? before : undefined;
    if (seen?.changes === file.changes) return;
    this.#seen.set(file, {
      term: this.term,
      changes: file.changes,
      marked: file.marked,
      trusted: seen === undefined || (seen.trusted && !seen.marked),
    });
  }

  /** The gate (law 1), and the twin (law 3). */
  #mayTake(process: Process, drop: Dropped, place: Place): void {
    const { files, timeline, underWay } = this.#options;
    const file = files.fileAt(place.address);
    if (file === undefined) {
      this.violate(`${place.path} was taken, and nobody wrote it`);
      return;
    }
    const { message } = file;
    if (!this.#hasPassed(file)) {
      this.violate(`${message.name} was taken ${timeline.now - file.changedAt} ms after a change`);
    }
    for (const { found } of underWay(process)) {
      if (found.message.key === message.key) {
        this.violate(`${message.name} was taken while ${found.message.name} was in flight`);
      }
    }
    const other = drop.verdict === 'spam' ? 'ham' : 'spam';
    const twinPath = `${this.#options.root}/lib/${other}/${drop.name}`;
    const twin = files.fileAt(twinPath);
    if (twin === undefined || this.#isStuck(twin)) return;
    if (!this.#hasPassed(twin))
      this.violate(`${message.name} was taken before its twin was complete`);
    const mine = real.lstatSync(place.address, { bigint: true }).mtimeNs;
    const its = real.lstatSync(twinPath, { bigint: true }).mtimeNs;
    if (mine > its || (mine === its && drop.verdict === 'ham')) {
      this.violate(`${message.name} was taken before its older twin`);
    }
  }

  #hasPassed(file: WrittenFile): boolean {
    const seen = this.#seen.get(file);
    const isTrusted = seen?.term !== this.term || seen?.trusted !== false;
    const still = this.#options.timeline.now - file.changedAt;
    return file.length > 0 && still >= settleTime(file.marked && isTrusted) - 0.001;
  }

  #isStuck(file: WrittenFile): boolean {
    const since = Math.max(file.changedAt, this.term?.since ?? 0);
    return file.length === 0 && this.#options.timeline.now - since >= STUCK_MS;
  }

  #tookNow(found: Found | string | undefined, to: Place): void {
    if (typeof found !== 'object') return;
    const { message } = found;
    this.#taken += 1;
    message.taken = this.#taken;
    message.takenAt = this.#options.timeline.now;
    message.knownTo = this.term;
    this.latest.set(message.key, message);
    this.trace(`took ${nameOf(found)} to ${to.path}`);
    if (stagedOf(to) === undefined) return;
    const id = `${message.verdict}/${message.key}`;
    this.open.set(id, (this.open.get(id) ?? 0) + 1);
  }

  #beganNow(id: string, found: Found | string | undefined, from: Place): void {
    // Where it was staged it counts already.
    if (from.path.startsWith('state/tmp/')) return;
    this.open.set(id, (this.open.get(id) ?? 0) + 1);
    if (typeof found === 'object') found.message.fate = undefined;
  }

  /** A newer verdict that is complete takes its place (law 3). */
  #isSuperseded({ message }: Found): boolean {
    const { root, files } = this.#options;
    const newest = this.latest.get(message.key)?.taken ?? 0;
    if (newest > (message.taken ?? 0)) return true;
    return VERDICTS.some((verdict) => {
      const file = files.fileAt(`${root}/lib/${verdict}/${message.key}`);
      return file !== undefined && this.#hasPassed(file);
    });
  }

  #isInQueue(found: Found): boolean {
    const { root, files } = this.#options;
    const { verdict, key } = found.message;
    const copy = files.findAt(`${root}/state/queue/${verdict}/${key}`);
    return (
      typeof copy === 'object' && copy.message === found.message && copy.length === found.length
    );
  }

  /** Acknowledge, prove, dispose (laws 2 and 8). */
  #mayEnd(process: Process, place: Place, found: Found | string | undefined): void {
    if (typeof found !== 'object') return;
    if (this.#proven.get(process)?.has(proofOf(found)) === true) return;
    // What is staged is being carried over once more.
    if (this.staged(found.message.verdict).includes(found.message.key)) return;
    const rounds = this.#postsOf(process, found).filter(
      ({ outcome }) => outcome?.kind === 'learned',
    );
    if (rounds.length >= 8) {
      found.message.fate = 'let go unproven';
      return;
    }
    this.violate(`${place.path} (${nameOf(found)}) was disposed of without a proof`);
  }

  /** Who is to blame (law 6). */
  #mayQuarantine(process: Process, found: Found | string | undefined): void {
    if (typeof found !== 'object') return;
    const posts = this.#postsOf(process, found);
    if (posts.some(({ outcome }) => outcome?.kind === 'rejected')) return;
    const charged = posts.filter((post) => this.#isItsOwn(post));
    if (charged.length >= MAX_ATTEMPTS) return;
    this.violate(
      `${found.message.name} was quarantined with ${charged.length} failures of its own`,
    );
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

  /** A released verdict is older than any other of its key. */
  #mayReturn(process: Process, key: string): void {
    const { root, files, underWay } = this.#options;
    for (const verdict of VERDICTS) {
      const file = files.fileAt(`${root}/lib/${verdict}/${key}`);
      const waited = file === undefined ? Infinity : this.#options.timeline.now - file.changedAt;
      if (waited < STUCK_MS) this.violate(`${key} was released beside ${verdict}/${key}`);
    }
    if (underWay(process).some(({ found }) => found.message.key === key)) {
      this.violate(`${key} was released while it was in flight`);
    }
  }

  /** One place for each key (law 3). */
  #mayReplace(process: Process, to: Place, source: Found | string | undefined): void {
    const { root, files } = this.#options;
    const state = stateOf(to);
    if (state === undefined) return;
    for (const verdict of VERDICTS) {
      const address = `${root}/state/queue/${verdict}/${state.key}`;
      const there = files.findAt(address);
      if (typeof there !== 'object') continue;
      const isSame = typeof source === 'object' && source.message === there.message;
      if (isSame && verdict === state.verdict) continue;
      this.violate(`${to.path} comes beside queue/${verdict}/${state.key} (${there.message.name})`);
      this.#mayEnd(process, { address, path: `state/queue/${verdict}/${state.key}` }, there);
    }
  }

  /** A copy is what it was made of. */
  #mayAdopt(from: Place, to: State): void {
    const { root, files } = this.#options;
    const copy = files.findAt(from.address);
    const source = files.findAt(`${root}/lib/${to.verdict}/.learnd-${to.key}`);
    const isEqual =
      typeof copy === 'object' &&
      typeof source === 'object' &&
      copy.message === source.message &&
      copy.length === source.length;
    if (!isEqual) this.violate(`the copy of ${to.verdict}/${to.key} isn't what was staged`);
  }

  /** Law 1: nothing is posted that was still being written, as far as can be seen. */
  #mustHaveSettled(found: Found): void {
    const { message, length } = found;
    const stretch = message.stretches.get(length);
    if (stretch === undefined) {
      this.violate(`${nameOf(found)} is posted, and was never so long`);
      return;
    }
    const isLate = stretch.since > message.takenAt;
    if (found.isWhole && !isLate) return;
    const lasted = Math.min(stretch.until, this.#options.timeline.now) - stretch.since;
    if (lasted < settleTime(stretch.marked) - 0.001) {
      this.violate(`${nameOf(found)} is posted and had lain still for ${lasted} ms only`);
    }
  }

  #end(found: Found, fate: string): void {
    found.message.fate ??= fate;
    found.message.endedAt = found.length;
    this.trace(`${fate} ${nameOf(found)}`);
  }

  #nameOf(process: Process): string {
    return `daemon ${process.id}`;
  }
}

/** What a tenure saw of a file. */
interface Seen {
  readonly term: Term | undefined;
  readonly changes: number;
  readonly marked: boolean;
  /** A mark that survives a change proves nothing any more. */
  readonly trusted: boolean;
}

interface Dropped {
  readonly verdict: Verdict;
  readonly name: string;
}

interface State {
  readonly folder: string;
  readonly verdict: Verdict;
  readonly key: string;
}

/** A file of the drop directory that isn't ours. */
function dropOf({ path }: Place): Dropped | undefined {
  const [, verdict, name] = /^lib\/(spam|ham)\/([^./][^/]*)$/.exec(path) ?? [];
  return verdict === undefined || name === undefined
    ? undefined
    : { verdict: verdict === 'spam' ? 'spam' : 'ham', name };
}

function stagedOf({ path }: Place): string | undefined {
  return /^lib\/(?:spam|ham)\/\.learnd-(.*)$/.exec(path)?.[1];
}

/** A message in the state dir. */
function stateOf({ path }: Place): State | undefined {
  const [, folder, verdict, key] =
    /^state\/(queue|quarantine|release|archive)\/(spam|ham)\/(?:[\d-]+\/)?([^/]+)$/.exec(path) ??
    [];
  if (folder === undefined || key === undefined || key.endsWith('.json')) return undefined;
  return { folder, verdict: verdict === 'spam' ? 'spam' : 'ham', key };
}

function settleTime(marked: boolean): number {
  return marked ? SETTLE_MS / 10 : SETTLE_MS;
}

function proofOf({ message, length }: Found): string {
  return `${message.name} ${length}`;
}

function nameOf({ message, length, isWhole }: Found): string {
  return isWhole ? message.name : `${message.name} up to ${length}`;
}
