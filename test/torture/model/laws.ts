import { VERDICTS } from '../../../src/verdict.ts';
import type { Verdict } from '../../../src/verdict.ts';
import type { Chronicle } from './chronicle.ts';
import { nameOf } from './files.ts';
import type { Found, Message, WrittenFiles } from './files.ts';
import { real } from './machine.ts';
import type { Place, Process, StepWatcher } from './machine.ts';
import type { PostLaws } from './posts.ts';

/** The laws of the spool, held against every single step that a daemon takes on the file system. */
export const ARCHIVE_DAYS = 30;
const DAY_MS = 86_400_000;
const STUCK_MS = 600_000;

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

interface LawsOptions {
  readonly root: string;
  readonly chronicle: Chronicle;
  readonly files: WrittenFiles;
  readonly posts: PostLaws;
}

export class Laws implements StepWatcher {
  /** The last verdict of a key that pickup took. */
  readonly latest = new Map<string, Message>();
  readonly #options: LawsOptions;
  readonly #chronicle: Chronicle;
  readonly #released = new Set<string>();
  #taken = 0;

  constructor(options: LawsOptions) {
    this.#options = options;
    this.#chronicle = options.chronicle;
  }

  looked(place: Place, ino: number): void {
    const drop = dropOf(place);
    // Who looks for a released one's sake doesn't look for the gate's.
    if (drop === undefined || this.#released.has(drop.name)) return;
    const file = this.#options.files.get(ino);
    if (file !== undefined) this.#chronicle.looked(file);
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
    this.#chronicle.mustOwn(process, `renames ${from.path}`);
    if (start?.folder === 'queue' && end?.folder === 'archive') this.#mayEnd(process, from, source);
    if (start?.folder === 'queue' && end?.folder === 'quarantine') {
      if (typeof source === 'object') this.#options.posts.mayQuarantine(process, source);
    }
    if (start?.folder === 'release') this.#mayReturn(process, start.key);
    if (end?.folder === 'queue') this.#mayReplace(process, to, source);
    rename();
    if (drop !== undefined) this.#tookNow(source, to);
    // A released one is a message once more; where it was staged it is one already.
    const isNew = end?.folder === 'queue' && !from.path.startsWith('state/tmp/');
    if (isNew && typeof source === 'object') source.message.fate = undefined;
    if (end?.folder === 'quarantine' && typeof source === 'object') {
      this.#chronicle.trace(`quarantined ${source.message.name}`);
    }
    if (end?.folder === 'archive' && typeof source === 'object') this.#end(source, 'archived');
  }

  removed(process: Process, place: Place, remove: () => void): void {
    const found = this.#options.files.findAt(place.address);
    const state = stateOf(place);
    this.#chronicle.mustOwn(process, `removes ${place.path}`);
    if (dropOf(place) !== undefined)
      this.#chronicle.violate(`removed ${place.path} from the drop directory`);
    let fate = 'removed';
    if (typeof found === 'object') {
      const isNewer = this.#isSuperseded(found);
      const why = `${place.path} (${found.message.name})`;
      if (isNewer) fate = 'superseded';
      else if (state?.folder === 'queue') this.#mayEnd(process, place, found);
      else if (stagedOf(place) !== undefined) {
        fate = 'copied';
        if (!this.#isInQueue(found))
          this.#chronicle.violate(`removed ${why}, and the queue has no copy`);
      } else if (state?.folder === 'quarantine' || state?.folder === 'release') {
        this.#chronicle.violate(`removed ${why}, and no newer verdict takes its place`);
      }
      if (state?.folder === 'archive' || place.path.startsWith('state/tmp/')) fate = '';
    }
    remove();
    if (typeof found === 'object' && fate !== '' && fate !== 'copied') this.#end(found, fate);
  }

  /** Old days of the archive, which go only when rspamd's clock agrees. */
  cleared(process: Process, place: Place): void {
    this.#chronicle.mustOwn(process, `clears ${place.path}`);
    const { timeline } = this.#chronicle;
    const [, day] = /^state\/archive\/((?:spam|ham)\/[\d-]+)$/.exec(place.path) ?? [];
    this.#chronicle.trace(`cleared ${place.path}`);
    if (day === undefined) {
      this.#chronicle.violate(`${place.path} was cleared`);
      return;
    }
    const age = (timeline.trueTime - Date.parse(day.replace(/^.*\//, ''))) / DAY_MS;
    if (Math.abs(this.#options.posts.askedWith) > DAY_MS)
      this.#chronicle.violate(`cleared ${day} with a wrong clock`);
    if (age < ARCHIVE_DAYS - 1) this.#chronicle.violate(`cleared ${day}, ${age} days old`);
  }

  /** A daemon became the owner. */
  owned(process: Process): void {
    this.#chronicle.trace(`daemon ${process.id} is the owner`);
    this.#chronicle.term = { process, since: this.#chronicle.now };
  }

  /** Keys that lie half-way to the queue. */
  #staged(verdict: Verdict): string[] {
    const folder = `${this.#options.root}/lib/${verdict}`;
    if (!real.existsSync(folder)) return [];
    return real
      .readdirSync(folder)
      .filter((name) => name.startsWith('.learnd-'))
      .map((name) => name.slice('.learnd-'.length));
  }

  // --- what is right

  /** The gate (law 1), and the twin (law 3). */
  #mayTake(process: Process, drop: Dropped, place: Place): void {
    const { files, posts } = this.#options;
    const file = files.fileAt(place.address);
    if (file === undefined) {
      this.#chronicle.violate(`${place.path} was taken, and nobody wrote it`);
      return;
    }
    const { message } = file;
    if (!this.#chronicle.hasSettled(file)) {
      this.#chronicle.violate(
        `${message.name} was taken ${this.#chronicle.now - file.changedAt} ms after a change`,
      );
    }
    if (posts.isUnderWay(process, message.key)) {
      this.#chronicle.violate(`${message.name} was taken while its key was in flight`);
    }
    const other = drop.verdict === 'spam' ? 'ham' : 'spam';
    const twinPath = `${this.#options.root}/lib/${other}/${drop.name}`;
    const twin = files.fileAt(twinPath);
    if (twin === undefined || this.#chronicle.isStuck(twin)) return;
    if (!this.#chronicle.hasSettled(twin))
      this.#chronicle.violate(`${message.name} was taken before its twin was complete`);
    const mine = real.lstatSync(place.address, { bigint: true }).mtimeNs;
    const its = real.lstatSync(twinPath, { bigint: true }).mtimeNs;
    if (mine > its || (mine === its && drop.verdict === 'ham')) {
      this.#chronicle.violate(`${message.name} was taken before its older twin`);
    }
  }

  #tookNow(found: Found | string | undefined, to: Place): void {
    if (typeof found !== 'object') return;
    const { message } = found;
    this.#taken += 1;
    message.taken = this.#taken;
    message.takenAt = this.#chronicle.now;
    message.knownTo = this.#chronicle.term;
    this.latest.set(message.key, message);
    this.#chronicle.trace(`took ${nameOf(found)} to ${to.path}`);
  }

  /** A newer verdict that is complete takes its place (law 3). */
  #isSuperseded({ message }: Found): boolean {
    const { root, files } = this.#options;
    const newest = this.latest.get(message.key)?.taken ?? 0;
    if (newest > (message.taken ?? 0)) return true;
    return VERDICTS.some((verdict) => {
      const file = files.fileAt(`${root}/lib/${verdict}/${message.key}`);
      return file !== undefined && this.#chronicle.hasSettled(file);
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
    const { posts } = this.#options;
    if (posts.isProven(process, found)) return;
    // What is staged is being carried over once more.
    if (this.#staged(found.message.verdict).includes(found.message.key)) return;
    if (posts.mayBeLetGo(process, found)) {
      found.message.fate = 'let go unproven';
      return;
    }
    this.#chronicle.violate(`${place.path} (${nameOf(found)}) was disposed of without a proof`);
  }

  /** A released verdict is older than any other of its key. */
  #mayReturn(process: Process, key: string): void {
    const { root, files, posts } = this.#options;
    for (const verdict of VERDICTS) {
      const file = files.fileAt(`${root}/lib/${verdict}/${key}`);
      // An empty file is no verdict yet: it takes the released one's place once it is.
      if (file === undefined || file.length === 0) continue;
      if (this.#chronicle.now - file.changedAt < STUCK_MS) {
        this.#chronicle.violate(`${key} was released beside ${verdict}/${key}`);
      }
    }
    if (posts.isUnderWay(process, key)) {
      this.#chronicle.violate(`${key} was released while it was in flight`);
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
      this.#chronicle.violate(
        `${to.path} comes beside queue/${verdict}/${state.key} (${there.message.name})`,
      );
      this.#mayEnd(process, { address, path: `state/queue/${verdict}/${state.key}` }, there);
    }
  }

  #end(found: Found, fate: string): void {
    found.message.fate ??= fate;
    found.message.endedAt = found.length;
    this.#chronicle.trace(`${fate} ${nameOf(found)}`);
  }
}
