import { execFile } from 'node:child_process';
import { findProgram } from '../../src/servers/programs.ts';
import { program } from './run.ts';
import { NOBODY } from './temporary.ts';

/** One line of `kopano-learnd doctor`. */
export interface Line {
  readonly state: string;
  readonly check: string;
  /** What was found, and its cure. */
  readonly text: string;
}

export interface Examination {
  readonly code: number | null;
  readonly lines: readonly Line[];
  readonly err: string;
  /** The lines about one check. */
  of(check: string): readonly Line[];
}

export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export const nobody: Account = { uid: NOBODY, gid: NOBODY, groups: [NOBODY] };

/**
 * Runs the built doctor as a process of its own, as another user by setpriv: Debian's Node.js doesn't
 * give root's rights away, as it can't be sure that its libuv uses no io_uring (CVE-2024-22017).
 */
export function examine(
  settings: Readonly<Record<string, string>>,
  as?: Account,
): Promise<Examination> {
  const environment = {
    PATH: process.env['PATH'] ?? '',
    STATUS_LISTEN: 'off',
    RSPAMD_URL: 'http://127.0.0.1:9',
    ...settings,
  };
  const [first = '', ...words] = [
    ...(as === undefined ? [] : setpriv(as)),
    ...[process.execPath, program(), 'doctor'],
  ];
  return new Promise((resolve) => {
    const child = execFile(first, words, { env: environment, cwd: '/' }, (_error, out, err) => {
      const lines = out.split('\n').slice(0, -1).map(parseLine);
      resolve({
        code: child.exitCode,
        lines,
        err,
        of: (check) => lines.filter((line) => line.check === check),
      });
    });
  });
}

function setpriv({ uid, gid, groups }: Account): string[] {
  const program = findProgram('setpriv', process.env['PATH']) ?? 'setpriv';
  return [program, `--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
}

function parseLine(line: string): Line {
  const match = /^(ok|warning|failed|not tried) +(\S.*?) {2,}(.*)$/.exec(line);
  if (match === null) throw new Error(`not a doctor's line: ${line}`);
  const [, state = '', check = '', text = ''] = match;
  return { state, check, text };
}
