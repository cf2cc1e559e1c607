import { say } from './command-options.ts';
import type { CommandOptions } from './command-options.ts';
import { helpText, readWords } from './commands.ts';
import type { Called } from './commands.ts';
import { loadConfig, readConfig } from './config.ts';
import { EXIT, OperatorError, formatError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { forJournal } from './logger.ts';
import { accountFor, isInSpool, rootsAccount } from './run-as.ts';
import type { Account } from './run-as.ts';
import { procFault } from './spool/folder.ts';
import { wrap } from './text.ts';
import { namesOfTrainers } from './trainers/create.ts';

/**
 * The command line: whom the command runs as, and what becomes of its faults. What the process has is
 * handed in, so that a test can run any command.
 */
interface CliOptions extends CommandOptions {
  /** What went wrong with standard output so far; its reader may go away. */
  readonly outputFault: () => string | undefined;
  /**
   * Runs this command as somebody else. Rejects with an `OperatorError` where that can't be done.
   * @returns `undefined` where it was stopped before it began
   */
  readonly runAs: (account: Account) => Promise<ExitCode | undefined>;
}

/** One touches no file, the other says what is missing in its own way. */
const NEED_NO_PROC = new Set(['health', 'doctor']);

/** What each command that touches the spool does there. */
const SPOOL_USE: Readonly<Record<string, 'reads' | 'writes'>> = {
  watch: 'writes',
  status: 'reads',
  doctor: 'reads',
  quarantine: 'writes',
  relearn: 'writes',
  evaluate: 'reads',
};
/** They read what they are pointed to, which may lie outside the spool. */
const READ_ELSEWHERE: ReadonlySet<string> = new Set(['relearn', 'evaluate']);

/** Runs one command. Never rejects for what an operator can mend; those faults are printed on `err`. */
export async function runCli(options: CliOptions): Promise<ExitCode> {
  if (options.args.length === 0 && options.terminal !== undefined) {
    options.out(`${helpText()}${intention(options)}`);
    return EXIT.done;
  }
  try {
    const called = readWords(withCommand(options.args), options);
    const exitCode = typeof called === 'number' ? called : await runAsWhom(called, options);
    // The daemon's log may be lost: learning goes on.
    const isDaemon = typeof called !== 'number' && called.name === 'watch';
    if (!isDaemon) checkOutput(options.outputFault());
    return exitCode;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const text = formatError(error, options.errTerminal?.columns);
    // Unmarked, it would be no error to journalctl -p err.
    options.err(options.isJournal ? forJournal(text, 'err') : text);
    return error.exitCode;
  }
}

/** Runs a command here, or as whom it has to run. */
async function runAsWhom(called: Called, options: CliOptions): Promise<ExitCode> {
  const fault = NEED_NO_PROC.has(called.name) ? undefined : procFault();
  if (fault !== undefined) throw fault;
  const account = accountOf(options, called);
  if (account === undefined) return called.run();
  const { name = `uid ${account.uid}`, because } = account;
  say(options, `kopano-learnd: runs as ${name}, ${because}`);
  const isForGood = called.name === 'watch' && !options.args.includes('--once');
  return (await options.runAs(account)) ?? (isForGood ? EXIT.done : EXIT.temporary);
}

/** Whom a command has to run as; `undefined`: who runs it. */
function accountOf({ environment, identity }: CliOptions, called: Called): Account | undefined {
  const { name, user, paths } = called;
  const use = SPOOL_USE[name];
  if (use === undefined) return undefined;
  if (identity.uid !== 0 && user === undefined) return undefined;
  // The doctor tells of wrong settings in its own way.
  const isDoctor = name === 'doctor';
  const { spool } = isDoctor ? readConfig(environment).config : loadConfig(environment);
  // What lies elsewhere may be for root alone.
  const isElsewhere = READ_ELSEWHERE.has(name) && !isInSpool(paths, spool);
  if (isElsewhere && user === undefined) return undefined;
  return accountFor({ spool, wanted: user, uid: identity.uid, writes: use === 'writes' });
}

const PROGRAMS_OWN = new Set(['-h', '--help', '-V', '--version']);

/** Without a command `watch` is meant. Not commander's default: that swallows mistyped commands. */
function withCommand(args: readonly string[]): readonly string[] {
  const words = args.filter(
    (word, index) => !/^--user(=|$)/.test(word) && args[index - 1] !== '--user',
  );
  const [first = ''] = words;
  if (first === '-v') return ['--version'];
  const isBare = first === '' || first.startsWith('-');
  return isBare && !PROGRAMS_OWN.has(first) ? ['watch', ...args] : args;
}

/** What `kopano-learnd watch` would do, for who typed the bare name to see what happens. */
function intention({ environment, identity, terminal }: CliOptions): string {
  const { config } = readConfig(environment);
  const { spool } = config;
  const urls = namesOfTrainers(config).join(', ');
  const { account, refusal } = identity.uid === 0 ? rootsAccount(spool) : {};
  let who = '';
  if (account !== undefined) who = `, as ${account.name ?? `uid ${account.uid}`}`;
  if (refusal !== undefined) who = `; but ${refusal.message}`;
  const text = `kopano-learnd watch would watch ${spool.libDir} and teach ${urls}${who}.`;
  return `\n${wrap(text, terminal?.columns ?? Infinity)}\n`;
}

/** Nobody must take half an answer for a whole one. */
function checkOutput(fault: string | undefined): void {
  if (fault === undefined) return;
  throw new OperatorError({
    code: 'output.failed',
    message: `standard output can't be written to (${fault}): what came out is not whole`,
    hint: 'make room there, or write it elsewhere, and say it again',
    exitCode: EXIT.failure,
  });
}
