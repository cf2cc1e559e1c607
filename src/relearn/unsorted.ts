import { lstatSync, readdirSync, statSync } from 'node:fs';
import { EXIT, OperatorError } from '../errors.ts';
import { unwantedFolder } from './sources/folder-use.ts';
import { clean } from '../text.ts';
import { inShell } from './shell.ts';

/**
 * A folder without a flag must hold `spam/` and `ham/`: a Maildir, or a file, says of none of its
 * messages what they are.
 * @throws {OperatorError} `usage.unsorted`, which tells what to type instead
 */
export function refuseUnsorted(dirs: readonly string[]): void {
  for (const dir of dirs) {
    const what = kindOf(dir);
    if (what === undefined) continue;
    throw new OperatorError({
      code: 'usage.unsorted',
      message: `${clean(dir, 1_000)} is ${what}: it doesn't say which of its messages are spam`,
      hint: cureOf(dir, what),
      exitCode: EXIT.usage,
    });
  }
}

type Kind = 'a Maildir' | 'a file';

/** `undefined` for everything else: reading it says what is wrong. */
function kindOf(dir: string): Kind | undefined {
  const is = (path: string, isFolder: boolean): boolean => {
    const stats = statSync(path, { throwIfNoEntry: false });
    return isFolder ? stats?.isDirectory() === true : stats?.isFile() === true;
  };
  try {
    if (is(dir, false)) return 'a file';
    const isSorted = ['spam', 'ham'].some(
      (each) => lstatSync(`${dir}/${each}`, { throwIfNoEntry: false }) !== undefined,
    );
    return !isSorted && is(`${dir}/cur`, true) && is(`${dir}/new`, true) ? 'a Maildir' : undefined;
  } catch {
    return undefined;
  }
}

function cureOf(dir: string, what: Kind): string {
  const path = inShell(dir);
  if (what === 'a file') return `give it as --spam ${path} or as --ham ${path}`;
  const junk = junkIn(dir).map((name) => inShell(`${dir.replace(/\/+$/, '')}/${name}`));
  const [first = `${path}/.Junk`] = junk;
  return (
    `give it as --ham ${path} (folders such as Junk, Trash and Drafts are passed over), and its junk ` +
    `folder as --spam ${first}; both may stand in one command` +
    (junk.length > 1 ? `. Its junk folders: ${junk.join(' ')}` : '')
  );
}

/** Its folders that are junk by their names. */
function junkIn(maildir: string): string[] {
  try {
    return readdirSync(maildir, { withFileTypes: true })
      .filter((each) => each.isDirectory())
      .map(({ name }) => name)
      .filter((name) => unwantedFolder(Buffer.from(name).toString('latin1'), 'ham') === 'junk')
      .sort();
  } catch {
    return [];
  }
}
