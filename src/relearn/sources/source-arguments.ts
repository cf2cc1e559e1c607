import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf, ifAllowed } from '../../errors.ts';
import { isFolder } from '../../spool/folder.ts';
import { clean, inShell } from '../../text.ts';
import { VERDICTS, classesOf, ofClass, othersOf, perClass } from '../../verdict.ts';
import type { PerClass, Verdict } from '../../verdict.ts';
import { isPassedOver, unwantedFolder } from './folder-use.ts';
import { STDIN } from './source.ts';

/** The sources as the command line names them. */
export interface SourceArguments {
  /** Folders that hold `spam/` and `ham/`. */
  readonly dirs: readonly string[];
  readonly spam: readonly string[];
  readonly ham: readonly string[];
  /** `NAME=PATH`: of further classes. */
  readonly class: readonly string[];
}

/** The sources to read, by class, as they were named. */
export interface SortedSources {
  /** Folders that hold a folder for each class. */
  readonly dirs: readonly string[];
  readonly paths: PerClass<readonly string[]>;
}

/** The paths that are named as some class. */
export function pathsOf({ paths }: SortedSources): readonly string[] {
  return Object.values(paths).flat();
}

/** The absolute paths that are taught as each verdict: what a journal belongs to, in any order. */
export function pathsByVerdict({ dirs, paths }: SortedSources): PerClass<readonly string[]> {
  return perClass(classesOf(paths), (verdict) =>
    [
      ...dirs.map((dir) => path.resolve(dir, verdict)),
      ...ofClass(paths, verdict).map((each) => (each === STDIN ? each : path.resolve(each))),
    ].sort(),
  );
}

/**
 * Says what is wrong with the sources before any is read.
 * @param command what is to read them: `relearn`
 * @returns the sources to read: a Maildir among the folders is ham, and its junk folders are spam
 * @throws {OperatorError} `usage.*`
 */
export function sortedSources(
  named: SourceArguments,
  verdicts: readonly Verdict[],
  command: string,
): SortedSources {
  const further = named.class.map((each) => classAndPath(each, verdicts));
  const paths = perClass(verdicts, (verdict) => [
    ...(verdict === 'spam' || verdict === 'ham' ? named[verdict] : []),
    ...further.filter(([name]) => name === verdict).map(([, place]) => place),
  ]);
  const all = [...named.dirs, ...Object.values(paths).flat()];
  if (all.length === 0) {
    throw usage(
      'no-source',
      `${command} needs something to learn`,
      `name a folder that holds spam/ and ham/, or give --spam PATH and --ham PATH; see kopano-learnd ${command} --help`,
    );
  }
  if (named.dirs.includes(STDIN)) {
    throw usage(
      'stdin-class',
      "'-' (standard input) doesn't say what it is",
      'give it as --spam - or --ham -',
    );
  }
  if (all.filter((each) => each === STDIN).length > 1) {
    throw usage(
      'stdin-twice',
      "'-' (standard input) is given twice",
      'standard input can be read once, as spam or as ham',
    );
  }
  const maildirs = named.dirs.filter(isMaildir);
  paths.spam.push(...maildirs.flatMap(junkFoldersOf));
  paths.ham.push(...maildirs);
  const dirs = named.dirs.filter((dir) => !maildirs.includes(dir));
  for (const dir of dirs) refuseUnsorted(dir, verdicts);
  refuseOverlap({ dirs, paths });
  return { dirs, paths };
}

function classAndPath(
  named: string,
  verdicts: readonly Verdict[],
): readonly [name: Verdict, place: string] {
  const [, name = '', place = ''] = /^([^=]*)=(.+)/s.exec(named) ?? [];
  const further = othersOf(othersOf(verdicts, 'spam'), 'ham');
  if (further.includes(name)) return [name, place];
  const known = further.length === 0 ? 'LEARN_CLASSES is not set' : `it has ${further.join(', ')}`;
  throw usage(
    'class',
    `--class ${clean(named, 1_000)} names no class of LEARN_CLASSES: ${known}`,
    'give it as --class NAME=PATH, with NAME in LEARN_CLASSES; spam and ham have --spam PATH and --ham PATH',
  );
}

function isMaildir(dir: string): boolean {
  const has = (name: string): boolean => isFolder(`${dir}/${name}`);
  return ['cur', 'new'].every(has) && !VERDICTS.some(has);
}

/** Nothing in a Maildir without one says which of its messages are spam. */
function junkFoldersOf(maildir: string): string[] {
  const folders = readdirSync(maildir).filter(
    (name) => unwantedFolder(rawName(name), 'ham') === 'junk' && isFolder(`${maildir}/${name}`),
  );
  if (folders.length > 0) return folders.map((name) => `${maildir}/${name}`);
  const word = inShell(maildir);
  throw usage(
    'unsorted',
    `${clean(maildir, 1_000)} is a Maildir without a junk folder: it doesn't say which of its messages are spam`,
    `give it as --ham ${word} (folders such as Trash and Drafts are passed over), and what is spam as --spam PATH; both may stand in one command`,
  );
}

function refuseUnsorted(dir: string, verdicts: readonly Verdict[]): void {
  if (verdicts.some((verdict) => isFolder(`${dir}/${verdict}`))) return;
  if (isMissing(dir))
    throw usage('missing', `there is no ${clean(dir, 1_000)}`, 'correct the path');
  const isFile = existsSync(dir) && !isFolder(dir);
  const what = isFile ? 'is a file' : 'holds neither spam/ nor ham/ that this user may look into';
  throw usage(
    'unsorted',
    `${clean(dir, 1_000)} ${what}: it doesn't say which of its messages are spam`,
    `give it as --spam ${inShell(dir)} or as --ham ${inShell(dir)}`,
  );
}

function isMissing(place: string): boolean {
  try {
    statSync(place);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/**
 * Sources that overlap would teach a message twice, or, as spam and as ham, one after the other
 * whichever way chance has it. A folder that the other source passes over may be named besides:
 * `--ham Maildir --spam Maildir/.Junk`.
 */
function refuseOverlap(sorted: SortedSources): void {
  const all = Object.entries(pathsByVerdict(sorted)).flatMap(([verdict, places]) =>
    places
      .filter((place) => place !== STDIN)
      // Reading it says what is wrong with one that has none.
      .map((place) => ({ place, verdict, real: ifAllowed(() => realpathSync(place)) ?? place })),
  );
  for (const [index, inner] of all.entries()) {
    for (const [other, outer] of all.entries()) {
      const isSame = index > other && inner.real === outer.real;
      if (!isSame && !isReadIn(inner.real, outer)) continue;
      const [first, second] = [clean(inner.place, 1_000), clean(outer.place, 1_000)];
      throw usage(
        'overlap',
        isSame
          ? `${first} is named as ${outer.verdict} and as ${inner.verdict}`
          : `${first} (${inner.verdict}) lies in ${second} (${outer.verdict})`,
        'name each message once: folders that hold none of the others, such as cur and new of a Maildir for what lies beside its subfolders',
      );
    }
  }
}

function isReadIn(
  inner: string,
  { real, verdict }: { readonly real: string; readonly verdict: Verdict },
): boolean {
  if (!inner.startsWith(`${real}/`)) return false;
  const below = rawName(inner.slice(real.length + 1));
  return !isPassedOver(below, isFolder(inner), verdict);
}

/** One character a byte, as the walk has it. */
function rawName(name: string): string {
  return Buffer.from(name).toString('latin1');
}

function usage(code: string, message: string, hint: string): OperatorError {
  return new OperatorError({ code: `usage.${code}`, message, hint, exitCode: EXIT.usage });
}
