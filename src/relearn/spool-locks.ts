import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import { Folder, isFolder } from '../spool/folder.ts';
import { VERDICTS } from '../verdict.ts';
import { LOCK_FILE, acquireOwnership, lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';

/**
 * The locks of the spools that sources lie in: while a daemon works on a spool, nobody else may read
 * its messages to post them, or an older verdict could overtake a newer one.
 */
export interface SpoolLocks {
  release(): void;
}

interface Place {
  readonly libDir: string;
  readonly stateDir: string;
}

/**
 * Locks every spool and state dir that a source lies in, or that lies in a source.
 * @param sources paths as the operator gave them; what doesn't exist is passed over
 * @param configured the spool and state dir of this environment
 * @throws {OperatorError} `relearn.owned`, exit 75, when a daemon holds one
 */
export async function lockSpools(
  sources: readonly string[],
  configured: Place,
): Promise<SpoolLocks> {
  const releases: (() => void)[] = [];
  const release = (): void => {
    for (const each of releases.splice(0)) each();
  };
  const reals = sources.flatMap((source) => realPath(source) ?? []);
  try {
    for (const stateDir of stateDirsOf(reals, configured)) {
      releases.push(await lockStateDir(stateDir));
    }
    for (const folder of classFoldersOf(reals, configured)) {
      releases.push(await lockClassFolder(folder));
    }
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

function stateDirsOf(reals: readonly string[], { libDir, stateDir }: Place): Set<string> {
  const found = new Set<string>();
  const own = realPath(stateDir);
  const spool = realPath(libDir);
  for (const real of reals) {
    const touches = (place: string | undefined): boolean =>
      place !== undefined && (isInside(real, place) || isInside(place, real));
    if (own !== undefined && (touches(own) || touches(spool))) found.add(own);
    // A state dir of another environment gives itself away by its lock.
    for (let place = real; ; place = path.dirname(place)) {
      for (const candidate of [place, path.join(place, '.learnd')]) {
        if (isStateDir(candidate)) found.add(candidate);
      }
      if (place === path.dirname(place)) break;
    }
  }
  return found;
}

/** The daemon locks them too, whatever its state dir. */
function classFoldersOf(reals: readonly string[], { libDir }: Place): string[] {
  const spool = realPath(libDir);
  if (spool === undefined) return [];
  if (!reals.some((real) => isInside(real, spool) || isInside(spool, real))) return [];
  return VERDICTS.map((verdict) => path.join(spool, verdict)).filter(isFolder);
}

function isStateDir(place: string): boolean {
  return existsSync(path.join(place, LOCK_FILE)) && isFolder(path.join(place, 'queue'));
}

function isInside(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

function realPath(place: string): string | undefined {
  try {
    return realpathSync(place);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

async function lockStateDir(stateDir: string): Promise<() => void> {
  let root: Folder;
  try {
    root = Folder.open(stateDir);
  } catch (error) {
    throw unreadable(stateDir, error);
  }
  try {
    const ownership = await acquireOwnership(root);
    if (ownership === undefined) throw owned(stateDir);
    return () => {
      ownership.release();
    };
  } catch (error) {
    throw error instanceof OperatorError ? error : unreadable(stateDir, error);
  } finally {
    root.close();
  }
}

async function lockClassFolder(place: string): Promise<() => void> {
  let folder: Folder;
  try {
    folder = Folder.open(place);
  } catch (error) {
    throw unreadable(place, error);
  }
  try {
    if ((await lockDescriptor(folder.fd)) === 'held') throw owned(place);
  } catch (error) {
    folder.close();
    throw error instanceof OperatorError ? error : unreadable(place, error);
  }
  return () => {
    folder.close();
  };
}

function owned(place: string): OperatorError {
  return new OperatorError({
    code: 'relearn.owned',
    message: `a daemon is at work on ${clean(place, 1_000)}, where a source lies`,
    hint: 'stop it first; messages wait meanwhile. Start it again when relearn is done',
    exitCode: EXIT.temporary,
  });
}

/** @throws the error, where it is one of this program */
function unreadable(place: string, error: unknown): OperatorError {
  if (isBug(error)) throw error;
  const why = errnoOf(error) ?? (error instanceof Error ? error.message : '');
  return new OperatorError({
    code: 'relearn.unlockable',
    message: `${clean(place, 1_000)}, where a source lies, cannot be locked (${why})`,
    hint: "run relearn as the daemon's user",
    exitCode: EXIT.failure,
  });
}
