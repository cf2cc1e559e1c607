import { callThrough, callWithPath } from './elsewhere.ts';
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

export const root: Account = { uid: 0, gid: 0, groups: [0] };

/** Runs the doctor, in this process or as another user. */
export async function examine(
  settings: Readonly<Record<string, string>>,
  as?: Account,
): Promise<Examination> {
  const all = {
    PATH: process.env['PATH'] ?? '',
    STATUS_LISTEN: 'off',
    RSPAMD_URL: 'http://127.0.0.1:9',
    ...settings,
  };
  const order = { args: ['doctor', '--json', '--all'], environment: all };
  const { code, out, err } = await (as === undefined
    ? callWithPath(order)
    : callThrough(setpriv(as), order));
  const { checks } = JSON.parse(out) as { readonly checks: readonly Found[] };
  const lines = checks.map(lineOf);
  return { code, lines, err, of: (check) => lines.filter((line) => line.check === check) };
}

/**
 * By setpriv: Debian's Node.js doesn't give root's rights away, as it can't be sure that its libuv
 * uses no io_uring (CVE-2024-22017).
 */
function setpriv({ uid, gid, groups }: Account): string[] {
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
}

interface Found {
  readonly state: string;
  readonly check: string;
  readonly says: string;
  readonly cure?: string;
  readonly command?: string;
}

function lineOf({ state, check, says, cure, command }: Found): Line {
  const how = command === undefined ? cure : `${command} (${cure ?? ''})`;
  return { state, check, text: how === undefined ? says : `${says}. Cure: ${how}` };
}
