import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { isFolder } from '../spool/folder.ts';
import { clean } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { isPassedOver } from './sources/folder-use.ts';
import { STDIN } from './sources/source.ts';

/** The sources as the command line names them, and what is wrong with them before any is read. */
export interface SourceArguments {
  /** Folders that hold `spam/` and `ham/`. */
  readonly dirs: readonly string[];
  readonly spam: readonly string[];
  readonly ham: readonly string[];
}

/** The absolute paths that are taught as each verdict: what a journal belongs to, in any order. */
export function pathsByVerdict(named: SourceArguments): Readonly<Record<Verdict, string[]>> {
  const pathsOf = (verdict: Verdict): string[] => [
    ...named.dirs.map((dir) => path.resolve(dir, verdict)),
    ...named[verdict].map((each) => (each === STDIN ? each : path.resolve(each))),
  ];
  return { spam: pathsOf('spam').sort(), ham: pathsOf('ham').sort() };
}

/**
 * @throws {OperatorError} `usage.no-source`, `usage.stdin-class`, `usage.stdin-twice`,
 *   `usage.unsorted` or `usage.overlap`
 */
export function checkSources(named: SourceArguments): void {
  const { dirs, spam, ham } = named;
  if (dirs.length + spam.length + ham.length === 0) {
    throw usage(
      'no-source',
      'relearn needs something to learn',
      'name a folder that holds spam/ and ham/, or give --spam PATH and --ham PATH; see kopano-learnd relearn --help',
    );
  }
  if (dirs.includes(STDIN)) {
    throw usage(
      'stdin-class',
      "'-' (standard input) doesn't say what it is",
      'give it as --spam - or --ham -',
    );
  }
  if ([...spam, ...ham].filter((each) => each === STDIN).length > 1) {
    throw usage(
      'stdin-twice',
      "'-' (standard input) is given twice",
      'standard input can be read once, as spam or as ham',
    );
  }
  dirs.forEach(refuseUnsorted);
  refuseOverlap(named);
}

/** A file, or a Maildir, says of none of its messages what they are; a flag has to. */
function refuseUnsorted(dir: string): void {
  const isFile = existsSync(dir) && !isFolder(dir);
  const isMaildir = ['cur', 'new'].every((name) => isFolder(`${dir}/${name}`));
  const isSorted = VERDICTS.some((verdict) => isFolder(`${dir}/${verdict}`));
  if (!isFile && (!isMaildir || isSorted)) return;
  const word = inShell(dir);
  throw usage(
    'unsorted',
    `${clean(dir, 1_000)} is a ${isFile ? 'file' : 'Maildir'}: it doesn't say which of its messages are spam`,
    isFile
      ? `give it as --spam ${word} or as --ham ${word}`
      : `give it as --ham ${word} (folders such as Junk, Trash and Drafts are passed over), and its junk folder as --spam ${inShell(`${dir}/.Junk`)}; both may stand in one command`,
  );
}

/**
 * Sources that overlap would teach a message twice, or, as spam and as ham, one after the other
 * whichever way chance has it. A folder that the other source passes over may be named besides:
 * `--ham Maildir --spam Maildir/.Junk`.
 */
function refuseOverlap(named: SourceArguments): void {
  const paths = pathsByVerdict(named);
  const all = VERDICTS.flatMap((verdict) =>
    paths[verdict]
      .filter((place) => place !== STDIN)
      .map((place) => ({ place, verdict, real: realPathOrItself(place) })),
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
  const below = Buffer.from(inner.slice(real.length + 1)).toString('latin1');
  return !isPassedOver(below, isFolder(inner), verdict);
}

function realPathOrItself(place: string): string {
  try {
    return realpathSync(place);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return place; // reading it says what is wrong
  }
}

/** A word as it is typed into a shell. */
export function inShell(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function usage(code: string, message: string, hint: string): OperatorError {
  return new OperatorError({ code: `usage.${code}`, message, hint, exitCode: EXIT.usage });
}
