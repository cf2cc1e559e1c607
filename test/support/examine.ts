import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { findProgram } from '../../src/servers/programs.ts';
import { runDoctor } from './examiner.ts';
import type { Examined } from './examiner.ts';
import { examinerProgram } from './run.ts';
import { NOBODY } from './temporary.ts';

/** One line of `kopano-learnd doctor`. */
export interface Line {
  readonly state: string;
  readonly check: string;
  /** What was found, and its cure. */
  readonly text: string;
}

export interface Examination {
  readonly code: number;
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
  const { code, out, err } = as === undefined ? await runDoctor(all) : await askExaminer(all, as);
  const { checks } = JSON.parse(out) as { readonly checks: readonly Found[] };
  const lines = checks.map(lineOf);
  return { code, lines, err, of: (check) => lines.filter((line) => line.check === check) };
}

/** One process for each user; it ends with this one. */
const examiners = new Map<string, ChildProcess>();

async function askExaminer(
  settings: Readonly<Record<string, string>>,
  as: Account,
): Promise<Examined> {
  const user = setpriv(as);
  const examiner = examiners.get(user.join()) ?? startExaminer(user);
  examiners.set(user.join(), examiner);
  examiner.send(settings);
  examiner.channel?.ref();
  const [examined] = (await once(examiner, 'message')) as [Examined];
  examiner.channel?.unref();
  return examined;
}

/**
 * By setpriv: Debian's Node.js doesn't give root's rights away, as it can't be sure that its libuv
 * uses no io_uring (CVE-2024-22017).
 */
function startExaminer([program = '', ...words]: readonly string[]): ChildProcess {
  const script = examinerProgram();
  const child = fork(script, {
    cwd: '/',
    execPath: program,
    execArgv: [...words, process.execPath],
  });
  child.unref();
  return child;
}

function setpriv({ uid, gid, groups }: Account): string[] {
  const program = findProgram('setpriv', process.env['PATH']) ?? 'setpriv';
  return [program, `--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
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
