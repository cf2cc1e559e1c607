import { closeSync, constants, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config.ts';
import { EXIT, OperatorError, errnoOf, ifAllowed, isBug } from '../errors.ts';
import { isFolder } from '../spool/folder.ts';
import { LOCK_FILE, lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';

/**
 * The locks of the spools that sources lie in: while a daemon works on a spool, nobody else may read
 * its messages to post them, or an older verdict could overtake a newer one. Makes no lock file: one
 * of root's would keep the daemon out.
 */
type Spool = Pick<Config['spool'], 'libDir' | 'verdicts' | 'stateDir'>;

/**
 * Locks every spool and state dir that a source lies in, or that lies in a source.
 * @param sources paths as the operator gave them; what doesn't exist is passed over
 * @param configured the spool and state dir of this environment
 * @returns what releases them
 * @throws {OperatorError} `relearn.owned`, exit 75, when a daemon, or another relearn, holds one
 */
export async function lockSpools(
  sources: readonly string[],
  configured: Spool,
): Promise<() => void> {
  const locked: number[] = [];
  const release = (): void => {
    for (const fd of locked.splice(0)) closeSync(fd);
  };
  try {
    for (const place of placesToLock(realPaths(sources), configured)) {
      locked.push(...(await lock(place)));
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
  const stateDirs = touches(sources, [libDir, stateDir]) ? realPaths([stateDir]) : [];
  // The state dir of another environment gives itself away by its queue and its lock.
  for (const source of sources) {
    for (let place = source; ; place = path.dirname(place)) {
      const candidates = [place, path.join(place, '.learnd')];
      stateDirs.push(...candidates.filter((each) => isFolder(path.join(each, 'queue'))));
      if (place === path.dirname(place)) break;
    }
  }
  const classFolders = realPaths(verdicts.map((verdict) => path.join(libDir, verdict)));
  return new Set([
    ...stateDirs.map((each) => path.join(each, LOCK_FILE)),
    ...(touches(sources, [libDir]) ? classFolders : []),
  ]);
}

/** True when a source lies in one of the places, or one of the places in a source. */
function touches(sources: readonly string[], places: readonly string[]): boolean {
  const reals = realPaths(places);
  return sources.some((source) => reals.some((each) => isIn(source, each) || isIn(each, source)));
}

function isIn(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

/** Of those that are there. */
function realPaths(places: readonly string[]): string[] {
  return places.flatMap((place) => ifAllowed(() => realpathSync(place)) ?? []);
}

/**
 * Locks what is there.
 * @returns the descriptor that holds the lock while it is open
 * @throws {OperatorError} `relearn.owned` while another one has it, `relearn.unlockable`
 */
async function lock(place: string): Promise<number[]> {
  const { O_RDONLY, O_RDWR, O_NOFOLLOW } = constants;
  const name = `${clean(place, 1_000)}, where a source lies`;
  let fd: number | undefined;
  try {
    // For writing, where it is a file: NFS grants exclusive locks on nothing else.
    fd = openSync(place, O_NOFOLLOW | (isFolder(place) ? O_RDONLY : O_RDWR));
    if ((await lockDescriptor(fd)) !== 'held') return [fd];
    throw new OperatorError({
      code: 'relearn.owned',
      message: `a daemon, or another relearn, is at work on ${name}`,
      hint: 'stop it first; messages wait meanwhile. Start the daemon again when relearn is done',
      exitCode: EXIT.temporary,
    });
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    if (fd === undefined && errnoOf(error) === 'ENOENT') return [];
    if (error instanceof OperatorError || isBug(error)) throw error;
    throw new OperatorError({
      code: 'relearn.unlockable',
      message: `${name}, cannot be locked (${errnoOf(error) ?? 'flock failed'})`,
      hint: "run relearn as the daemon's user",
      exitCode: EXIT.failure,
    });
  }
}
