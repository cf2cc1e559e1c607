import { loadConfig } from './config.ts';
import type { Config, Environment } from './config.ts';
import { unknownText } from './settings.ts';
import { wrap } from './text.ts';
import type { Terminal } from './text.ts';

/** Whom a process runs as. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** All groups, the first one included. */
  readonly groups: readonly number[];
}

/** What the process has, as far as a command may need it. */
export interface CommandOptions {
  readonly environment: Environment;
  /** Aborted when the program is to stop. */
  readonly stop: AbortSignal;
  /** Calls back on SIGHUP. */
  readonly onHangup: (callback: () => void) => void;
  /** Calls back with the error that ends the process, which nobody has caught. */
  readonly onCrash: (callback: (error: unknown) => void) => void;
  readonly identity: ProcessUser;
  /** The words after the program's name. */
  readonly args: readonly string[];
  /** Standard output: data, and the daemon's log. */
  readonly out: (text: string) => void;
  /** Standard output, for data that may be no text. */
  readonly outBytes: (bytes: Uint8Array) => Promise<void>;
  /** Where standard output is seen; `undefined` for a pipe or a file. */
  readonly terminal: Terminal | undefined;
  /** journald reads standard output. */
  readonly isJournal: boolean;
  /** Standard error: prose. */
  readonly err: (text: string) => void;
  /** Where standard error is seen. */
  readonly errTerminal: Terminal | undefined;
  readonly stdin: () => AsyncIterable<Buffer>;
}

/** The settings, after a word on what looks like one and is none. */
export function settingsOf(options: CommandOptions): Config {
  const config = loadConfig(options.environment);
  for (const unknown of config.unknown) say(options, `kopano-learnd: ${unknownText(unknown)}`);
  return config;
}

/** Tells something on standard error. */
export function say(
  { err, errTerminal }: Pick<CommandOptions, 'err' | 'errTerminal'>,
  text: string,
): void {
  err(`${wrap(text, errTerminal?.columns ?? Infinity, '    ')}\n`);
}
