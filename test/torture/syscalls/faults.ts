import type { FsStep } from '../../support/fs-steps.ts';

/** No error: the process dies at the step. */
export const KILL = 'SIGKILL';
/** Not a step on the file system, but one to die at. */
export const POST = 'post';

/**
 * Which errors a step can meet in the real world. What can't be (a full disk does not keep anybody
 * from reading) is left out, so that what a run finds is worth mending.
 */
const CODES = ['ENOSPC', 'EIO', 'EACCES', 'EROFS', 'EMFILE', 'ENOENT', 'EXDEV', KILL] as const;

type Code = (typeof CODES)[number];

export interface Fault {
  /** Which step of the run meets it first, counted from 0. */
  readonly step: number;
  readonly code: Code;
  /** `after`: it has taken effect all the same, as on NFS whose answer was lost. */
  readonly when: FsStep['when'];
  /** Every step of that call fails for 20 seconds, instead of the one. */
  readonly lasts: boolean;
}

/** They take a path, which can be missing or forbidden. */
const BY_PATH = new Set([
  'accessSync',
  'chmodSync',
  'lstatSync',
  'mkdirSync',
  'open',
  'opendirSync',
  'openSync',
  'renameSync',
  'rm',
  'statSync',
  'unlinkSync',
]);
/** They take a descriptor, of which a process has so many. */
const OPENING = new Set(['open', 'opendirSync', 'openSync', 'spawn']);
/** They change something; removing fails on a full file system that copies on write. */
const CHANGING = new Set([
  'FileHandle.utimes',
  'FileHandle.writeFile',
  'chmodSync',
  'mkdirSync',
  'renameSync',
  'rm',
  'unlinkSync',
]);
/** They make what was written durable, and may be the first to hear that it can't be. */
const SETTLING = new Set(['FileHandle.sync', 'FileHandle.close']);
/** The lock file and copies are opened to be written; folders and messages to be read. */
const WRITTEN = /\/(owner\.lock|tmp\/[^/]+)$/;

/**
 * Whether dying there may make a difference: after a step, and before one that changes something.
 * What comes before the others is what comes after their predecessors.
 */
function isWorthAKill({ call }: FsStep, when: FsStep['when']): boolean {
  // What the dead had just opened nobody could close here; and closing changes nothing.
  if (when === 'after') return !OPENING.has(call) && !/close/i.test(call);
  return call === POST || CHANGING.has(call) || SETTLING.has(call);
}

/**
 * Whether the step can fail so before anything has happened. Left out: what contradicts what the
 * same file system says a moment later. A file that is there can be unlinked, and is seen, except on
 * a network file system that remembers for a while that another host's file was not there. And that
 * the mounts differ is true of the name that is tried to learn just that.
 */
function canFail(code: Code, { call, path }: FsStep): boolean {
  const writes = CHANGING.has(call) || (/^open/.test(call) && WRITTEN.test(path));
  switch (code) {
    case 'EIO':
      return true;
    case 'ENOSPC':
      return writes || SETTLING.has(call);
    case 'EROFS':
      return writes || call === 'accessSync';
    case 'EMFILE':
      return OPENING.has(call);
    case 'EACCES':
      return BY_PATH.has(call);
    case 'ENOENT':
      if (call === 'lstatSync') return /^LIB\/(spam|ham)\/[^.]/.test(path);
      return BY_PATH.has(call) && call !== 'unlinkSync';
    case 'EXDEV':
      return call === 'renameSync' && !path.endsWith('-probe');
    case KILL:
      return false;
  }
}

/** Whether what `target` met first holds for this step, too, while it lasts. */
export function spreads(fault: Fault, target: FsStep, step: FsStep): boolean {
  if (!fault.lasts) return false;
  // Not there is the whole volume, or /proc, through which all of it is reached.
  if (fault.code === 'ENOENT' && fault.when === 'before') return BY_PATH.has(step.call);
  return step.call === target.call && canMeet(fault, step);
}

/** Whether a step can meet this fault at all. */
export function canMeet({ code, when, lasts }: Fault, step: FsStep): boolean {
  if (code === KILL) return !lasts && isWorthAKill(step, when);
  if (step.call === POST) return false;
  return when === 'before' ? canFail(code, step) : canLie(code, step);
}

/** Whether the step can have happened although it fails so. */
function canLie(code: Code, { call }: FsStep): boolean {
  // A server that carries out the same request twice finds nothing the second time.
  if (code === 'ENOENT') return call === 'renameSync' || call === 'unlinkSync';
  return code === 'EIO' && (CHANGING.has(call) || SETTLING.has(call));
}

/** Everything that the steps of an undisturbed run can meet. */
export function faultsOf(steps: readonly FsStep[]): Fault[] {
  return steps.flatMap((step, index) =>
    CODES.flatMap((code) =>
      (['before', 'after'] as const).flatMap((when) =>
        [false, true]
          .map((lasts): Fault => ({ step: index, code, when, lasts }))
          .filter((fault) => canMeet(fault, step)),
      ),
    ),
  );
}

/** What kind of step it is: the call and the kind of place, whatever the message's name. */
export function kindOf({ call, path }: FsStep): string {
  const place = path
    .replace(/\/(spam|ham)(?=\/|$)/, '/VERDICT')
    .replace(/\d{4}-\d{2}-\d{2}/, 'DAY')
    .replace(/(\/VERDICT|\/DAY|\/tmp)\/(\.learnd-)?[a-z]+(\.json)?$/, '$1/$2NAME$3');
  return `${call} ${place}`;
}
