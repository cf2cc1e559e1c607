import { closeSync, constants, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import { isFolder } from '../spool/folder.ts';
import { LOCK_FILE, lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';
import type { Verdict } from '../verdict.ts';

/**
 * The locks of the spools that sources lie in: while a daemon works on a spool, nobody else may read
 * its messages to post them, or an older verdict could overtake a newer one. Makes no lock file: one
 * of root's would keep the daemon out.
 */
type Release = () => void;

interface Spool {
  readonly libDir: string;
  readonly verdicts: readonly Verdict[];
  readonly stateDir: string;
}

/**
 * Locks every spool and state dir that a source lies in, or that lies in a source.
 * @param sources paths as the operator gave them; what doesn't exist is passed over
 * @param configured the spool and state dir of this environment
 * @returns what releases them
 * @throws {OperatorError} `relearn.owned`, exit 75, when a daemon, or another relearn, holds one
 */
export async function lockSpools(sources: readonly string[], configured: Spool): Promise<Release> {
  const releases: Release[] = [];
  const release = (): void => {
    for (const each of releases.splice(0)) each();
  };
  try {
    for (const place of placesToLock(sources.flatMap(realPath), configured)) {
      releases.push(await lock(place));
    }
  } catch (error) {
    release();
    throw error;
  }
  return release;
}

/** What a daemon locks: the file in its state dir, and the class folders, whatever its state dir. */
function placesToLock(
  sources: readonly string[],
  { libDir, verdicts, stateDir }: Spool,
): Set<string> {
  const stateDirs = touches(sources, [libDir, stateDir]) ? realPath(stateDir) : [];
  // The state dir of another environment gives itself away by its queue and its lock.
  for (const source of sources) {
    for (let place = source; ; place = path.dirname(place)) {
      const candidates = [place, path.join(place, '.learnd')];
      stateDirs.push(...candidates.filter((each) => isFolder(path.join(each, 'queue'))));
      if (place === path.dirname(place)) break;
    }
  }
  const classFolders = verdicts.flatMap((verdict) => realPath(path.join(libDir, verdict)));
  return new Set([
    ...stateDirs.map((each) => path.join(each, LOCK_FILE)),
    ...(touches(sources, [libDir]) ? classFolders : []),
  ]);
}

/** True when a source lies in one of the places, or one of the places in a source. */
function touches(sources: readonly string[], places: readonly string[]): boolean {
  const reals = places.flatMap(realPath);
  return sources.some((source) => reals.some((each) => isIn(source, each) || isIn(each, source)));
}

function isIn(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

/** @returns none when there is no such thing */
function realPath(place: string): string[] {
  try {
    return [realpathSync(place)];
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}

/**
 * Locks what is there.
 * @throws {OperatorError} `relearn.owned` while another one has it, `relearn.unlockable`
 */
async function lock(place: string): Promise<Release> {
  const { O_RDONLY, O_RDWR, O_NOFOLLOW } = constants;
  const name = `${clean(place, 1_000)}, where a source lies`;
  let fd: number | undefined;
  try {
    // For writing, where it is a file: NFS grants exclusive locks on nothing else.
    fd = openSync(place, O_NOFOLLOW | (isFolder(place) ? O_RDONLY : O_RDWR));
    if ((await lockDescriptor(fd)) !== 'held') return closeSync.bind(undefined, fd);
    throw new OperatorError({
      code: 'relearn.owned',
      message: `a daemon, or another relearn, is at work on ${name}`,
      hint: 'stop it first; messages wait meanwhile. Start the daemon again when relearn is done',
      exitCode: EXIT.temporary,
    });
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    if (fd === undefined && errnoOf(error) === 'ENOENT') return () => undefined;
    if (error instanceof OperatorError || isBug(error)) throw error;
    throw new OperatorError({
      code: 'relearn.unlockable',
      message: `${name}, cannot be locked (${errnoOf(error) ?? 'flock failed'})`,
      hint: "run relearn as the daemon's user",
      exitCode: EXIT.failure,
    });
  }
}
