import type { ProcessUser } from '../command-options.ts';
import type { Config } from '../config.ts';
import type { SettingFault } from '../errors.ts';
import type { Host } from '../host.ts';
import type { Environment } from '../settings.ts';
import type { DaemonAnswer } from '../status/ask.ts';
import { clean, wrap } from '../text.ts';

/** What a check is given, and what it comes to. */

/** What is known before the first check. */
export interface Case {
  readonly config: Config;
  /** What is wrong with the settings; the others, and defaults for these, are in `config`. */
  readonly faults: readonly SettingFault[];
  readonly environment: Environment;
  /** Whom this process runs as. */
  readonly identity: ProcessUser;
  readonly stop: AbortSignal;
  /** What the running daemon says of itself. */
  readonly daemon: DaemonAnswer;
  /** How the daemon is run, or is likely to be run where none answers. */
  readonly host: Host;
}

/** What one check came to. */
export interface Finding {
  /**
   * `warning`: it works, but not as well or as safely as it could. `not tried`: it can't be known
   * from here, or makes no sense before something else is mended.
   */
  readonly state: 'ok' | 'warning' | 'failed' | 'not tried';
  /** What was looked at, in a word or two. */
  readonly check: string;
  /** What was found, as a sentence without a full stop. */
  readonly says: string;
  /** What the operator has to change. */
  readonly cure?: string;
  /** What does that, to be pasted as root on this machine. */
  readonly command?: string;
}

/** In words, or with the command that does it, as an `OperatorError` has both. */
export type Cure = string | { readonly hint: string; readonly command?: string | undefined };

export function ok(check: string, says: string): Finding {
  return { state: 'ok', check, says };
}

export function warning(check: string, says: string, cure: Cure): Finding {
  return { state: 'warning', check, says, ...cureOf(cure) };
}

export function failed(check: string, says: string, cure: Cure): Finding {
  return { state: 'failed', check, says, ...cureOf(cure) };
}

export function notTried(check: string, says: string): Finding {
  return { state: 'not tried', check, says };
}

/** True for what the operator has to change. */
export function isProblem({ state }: Finding): boolean {
  return state === 'warning' || state === 'failed';
}

/** Commands, each of which is run when the one before has succeeded. */
export function joined(...commands: readonly (string | undefined)[]): string {
  return commands.filter((each) => each !== undefined).join(' && ');
}

function cureOf(cure: Cure): Pick<Finding, 'cure' | 'command'> {
  if (typeof cure === 'string') return { cure };
  const { hint, command } = cure;
  return command === undefined ? { cure: hint } : { cure: hint, command };
}

const INDENT = ' '.repeat(11);

/** For people: what was found and the cure, wrapped; the command whole, on a line of its own. */
export function textOf({ state, check, says, cure, command }: Finding, columns: number): string {
  const lines = [wrap(clean(`${state.padEnd(9)}  ${check}: ${says}`, 2_000), columns, INDENT)];
  if (cure !== undefined) lines.push(wrap(clean(`${INDENT}cure: ${cure}`, 2_000), columns, INDENT));
  if (command !== undefined) lines.push(`${INDENT}  ${clean(command, 2_000)}`);
  return lines.map((line) => `${line}\n`).join('');
}
