import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { isFolder } from '../spool/folder.ts';
import { clean } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { isPassedOver, unwantedFolder } from './sources/folder-use.ts';
import { STDIN } from './sources/place.ts';

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
    throw usage({
      code: 'usage.no-source',
      message: 'relearn needs something to learn',
      hint: 'name a folder that holds spam/ and ham/, or give --spam PATH and --ham PATH; see kopano-learnd relearn --help',
    });
  }
  if (dirs.includes(STDIN)) {
    throw usage({
      code: 'usage.stdin-class',
      message: "'-' (standard input) doesn't say what it is",
      hint: 'give it as --spam - or --ham -',
    });
  }
  if ([...spam, ...ham].filter((each) => each === STDIN).length > 1) {
    throw usage({
      code: 'usage.stdin-twice',
      message: "'-' (standard input) is given twice",
      hint: 'standard input can be read once, as spam or as ham',
    });
  }
  dirs.forEach(refuseUnsorted);
  refuseOverlap(named);
}

/**
 * A folder without a flag must hold `spam/` and `ham/`: a Maildir, or a file, says of none of its
 * messages what they are.
 */
function refuseUnsorted(dir: string): void {
  const what = unsortedKind(dir);
  if (what === undefined) return;
  throw usage({
    code: 'usage.unsorted',
    message: `${clean(dir, 1_000)} is ${what}: it doesn't say which of its messages are spam`,
    hint: what === 'a file' ? cureOfFile(dir) : cureOfMaildir(dir),
  });
}

/** `undefined` for everything else: reading it says what is wrong. */
function unsortedKind(dir: string): 'a Maildir' | 'a file' | undefined {
  try {
    if (statSync(dir, { throwIfNoEntry: false })?.isFile() === true) return 'a file';
    const isSorted = VERDICTS.some(
      (each) => lstatSync(`${dir}/${each}`, { throwIfNoEntry: false }) !== undefined,
    );
    const isMaildir = isFolder(`${dir}/cur`) && isFolder(`${dir}/new`);
    return !isSorted && isMaildir ? 'a Maildir' : undefined;
  } catch {
    return undefined;
  }
}

function cureOfFile(file: string): string {
  return `give it as --spam ${inShell(file)} or as --ham ${inShell(file)}`;
}

function cureOfMaildir(dir: string): string {
  const maildir = inShell(dir);
  const junk = junkIn(dir).map((name) => inShell(`${dir.replace(/\/+$/, '')}/${name}`));
  const [first = `${maildir}/.Junk`] = junk;
  return (
    `give it as --ham ${maildir} (folders such as Junk, Trash and Drafts are passed over), and its junk ` +
    `folder as --spam ${first}; both may stand in one command` +
    (junk.length > 1 ? `. Its junk folders: ${junk.join(' ')}` : '')
  );
}

/** The folders of a Maildir that are junk by their names. */
function junkIn(maildir: string): string[] {
  try {
    return readdirSync(maildir, { withFileTypes: true })
      .filter((each) => each.isDirectory())
      .map(({ name }) => name)
      .filter((name) => unwantedFolder(rawOf(name), 'ham') === 'junk')
      .sort();
  } catch {
    return [];
  }
}

interface NamedPath {
  readonly place: string;
  readonly verdict: Verdict;
  readonly real: string;
}

/**
 * Sources that overlap would teach a message twice, or, as spam and as ham, one after the other
 * whichever way chance has it. A folder that the other source passes over may be named besides:
 * `--ham Maildir --spam Maildir/.Junk`.
 */
function refuseOverlap(named: SourceArguments): void {
  const paths = pathsByVerdict(named);
  const all: NamedPath[] = VERDICTS.flatMap((verdict) =>
    paths[verdict]
      .filter((place) => place !== STDIN)
      .map((place) => ({ place, verdict, real: realPathOrItself(place) })),
  );
  for (const [index, inner] of all.entries()) {
    for (const [other, outer] of all.entries()) {
      if (index === other) continue;
      const isSame = inner.real === outer.real;
      if (isSame ? index < other : !isReadIn(inner.real, outer)) continue;
      const [first, second] = [clean(inner.place, 1_000), clean(outer.place, 1_000)];
      throw usage({
        code: 'usage.overlap',
        message: isSame
          ? `${first} is named as ${outer.verdict} and as ${inner.verdict}`
          : `${first} (${inner.verdict}) lies in ${second} (${outer.verdict})`,
        hint: 'name each message once: folders that hold none of the others, such as cur and new of a Maildir for what lies beside its subfolders',
      });
    }
  }
}

function isReadIn(inner: string, { real, verdict }: NamedPath): boolean {
  if (!inner.startsWith(`${real}/`)) return false;
  return !isPassedOver(rawOf(inner.slice(real.length + 1)), isFolder(inner), verdict);
}

function realPathOrItself(place: string): string {
  try {
    return realpathSync(place);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return place; // reading it says what is wrong
  }
}

/** One character a byte, as names in folders are read. */
function rawOf(name: string): string {
  return Buffer.from(name).toString('latin1');
}

/** A word as it is typed into a shell. */
export function inShell(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function usage(what: { readonly code: string; message: string; hint: string }): OperatorError {
  return new OperatorError({ ...what, exitCode: EXIT.usage });
}
