import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import { Folder, isFolder } from '../spool/folder.ts';
import { LOCK_FILE, acquireOwnership, lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';
import { VERDICTS } from '../verdict.ts';

/**
 * The locks of the spools that sources lie in: while a daemon works on a spool, nobody else may read
 * its messages to post them, or an older verdict could overtake a newer one.
 */
type Release = () => void;

interface Spool {
  readonly libDir: string;
  readonly stateDir: string;
}

/**
 * Locks every spool and state dir that a source lies in, or that lies in a source.
 * @param sources paths as the operator gave them; what doesn't exist is passed over
 * @param configured the spool and state dir of this environment
 * @returns what releases them
 * @throws {OperatorError} `relearn.owned`, exit 75, when a daemon holds one
 */
export async function lockSpools(sources: readonly string[], configured: Spool): Promise<Release> {
  const releases: Release[] = [];
  const release = (): void => {
    for (const each of releases.splice(0)) each();
  };
  const reals = sources.flatMap((source) => realPath(source) ?? []);
  const folders = [
    ...[...stateDirsOf(reals, configured)].map((place) => [place, lockStateDir] as const),
    ...classFoldersOf(reals, configured).map((place) => [place, lockClassFolder] as const),
  ];
  for (const [place, lock] of folders) {
    try {
      const held = await lock(place);
      if (held === undefined) throw owned(place);
      releases.push(held);
    } catch (error) {
      release();
      throw error instanceof OperatorError ? error : unlockable(place, error);
    }
  }
  return release;
}

function stateDirsOf(reals: readonly string[], { libDir, stateDir }: Spool): Set<string> {
  const found = new Set<string>();
  const own = realPath(stateDir);
  if (own !== undefined && touches(reals, own, realPath(libDir))) found.add(own);
  // A state dir of another environment gives itself away by its lock.
  for (const real of reals) {
    for (let place = real; ; place = path.dirname(place)) {
      for (const candidate of [place, path.join(place, '.learnd')]) {
        const isLocked = existsSync(path.join(candidate, LOCK_FILE));
        if (isLocked && isFolder(path.join(candidate, 'queue'))) found.add(candidate);
      }
      if (place === path.dirname(place)) break;
    }
  }
  return found;
}

/** The daemon locks them too, whatever its state dir. */
function classFoldersOf(reals: readonly string[], { libDir }: Spool): string[] {
  const spool = realPath(libDir);
  if (spool === undefined || !touches(reals, spool)) return [];
  return VERDICTS.map((verdict) => path.join(spool, verdict)).filter(isFolder);
}

/** True when a source lies in one of the places, or one of the places in a source. */
function touches(sources: readonly string[], ...places: (string | undefined)[]): boolean {
  return sources.some((source) =>
    places.some((each) => each !== undefined && (isIn(source, each) || isIn(each, source))),
  );
}

function isIn(inner: string, outer: string): boolean {
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

/** @returns `undefined` while a daemon has it */
async function lockStateDir(stateDir: string): Promise<Release | undefined> {
  const root = Folder.open(stateDir);
  try {
    const ownership = await acquireOwnership(root);
    return ownership?.release.bind(ownership);
  } finally {
    root.close();
  }
}

/** @returns `undefined` while a daemon has it */
async function lockClassFolder(place: string): Promise<Release | undefined> {
  const folder = Folder.open(place);
  let isHeld = true;
  try {
    isHeld = (await lockDescriptor(folder.fd)) === 'held';
  } finally {
    if (isHeld) folder.close();
  }
  return isHeld ? undefined : folder.close.bind(folder);
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
function unlockable(place: string, error: unknown): OperatorError {
  if (isBug(error)) throw error;
  const why = errnoOf(error) ?? (error instanceof Error ? error.message : '');
  return new OperatorError({
    code: 'relearn.unlockable',
    message: `${clean(place, 1_000)}, where a source lies, cannot be locked (${why})`,
    hint: "run relearn as the daemon's user",
    exitCode: EXIT.failure,
  });
}
