/** Where the programs of the private servers are. Looks files up; never starts anything. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Daemons live in sbin, which an ordinary user's PATH leaves out on Debian. */
const DAEMON_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** What does the same under another name; some systems have nothing else. Tried: Valkey 9.1. */
const STAND_INS: ReadonlyMap<string, string> = new Map([['redis-server', 'valkey-server']]);

/**
 * The path of a program, or of its stand-in where it is missing, or undefined.
 * @param searchPath - folders as in the PATH variable; sbin folders are looked at as well
 */
export function findProgram(name: string, searchPath: string | undefined): string | undefined {
  const folders = [...(searchPath ?? '').split(delimiter), ...DAEMON_FOLDERS].filter(Boolean);
  return [name, STAND_INS.get(name) ?? []]
    .flat()
    .flatMap((each) => folders.map((folder) => join(folder, each)))
    .find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
