import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { loadConfig } from './config.ts';
import type { Environment } from './config.ts';
import { EXIT, OperatorError, formatError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { createLog } from './logger.ts';
import type { RelearnFlags } from './relearn/command.ts';
import type { QuarantineOptions, Selection } from './quarantine/command.ts';
import { procFault } from './spool/folder.ts';
import { VERSION } from './version.ts';

/**
 * The command line: words and flags, and which command they mean. What the process has is handed in,
 * so that a test can run any command.
 */
export interface CliOptions {
  /** The words after the program's name. */
  readonly args: readonly string[];
  readonly environment: Environment;
  /** Aborted when the program is to stop. */
  readonly stop: AbortSignal;
  readonly onHangup: (callback: () => void) => void;
  readonly onCrash: (callback: (error: unknown) => void) => void;
  readonly identity: {
    readonly uid: number;
    readonly gid: number;
    readonly groups: readonly number[];
  };
  /** Standard output: data, and the daemon's log. */
  readonly out: (text: string) => void;
  /** Standard output, for data that may be no text. */
  readonly outBytes: (bytes: Uint8Array) => Promise<void>;
  /** What went wrong with standard output so far; its reader may go away. */
  readonly outputFault: () => string | undefined;
  readonly isTerminal: boolean;
  /** Standard error: prose. */
  readonly err: (text: string) => void;
  readonly errIsTerminal: boolean;
  readonly stdin: () => AsyncIterable<Buffer>;
}

/** One touches no file, the other says what is missing in its own way. */
const NEED_NO_PROC = new Set(['health', 'doctor']);

/** Runs one command. Never rejects for what an operator can mend; those faults are printed on `err`. */
export async function runCli(options: CliOptions): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  let isDaemon = false as boolean;
  const program = buildProgram(options, (code) => {
    exitCode = code;
  });
  program.hook('preAction', (_, command) => {
    isDaemon = command.name() === 'watch';
    const fault = NEED_NO_PROC.has(command.name()) ? undefined : procFault();
    if (fault !== undefined) throw fault;
  });
  try {
    await program.parseAsync(withCommand(options.args), { from: 'user' });
    if (!isDaemon) checkOutput(options.outputFault());
    return exitCode;
  } catch (error) {
    // Commander has told it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (!(error instanceof OperatorError)) throw error;
    options.err(formatError(error));
    return error.exitCode;
  }
}

/** Without a command `watch` is meant. Not commander's default: that swallows mistyped commands. */
function withCommand(words: readonly string[]): readonly string[] {
  const [first = ''] = words;
  const isBare = first === '' || first.startsWith('-');
  return isBare && !['-h', '--help'].includes(first) ? ['watch', ...words] : words;
}

/** Nobody must take half an answer for a whole one. The daemon's log may be lost: learning goes on. */
function checkOutput(fault: string | undefined): void {
  if (fault === undefined) return;
  throw new OperatorError({
    code: 'output.failed',
    message: `standard output can't be written to (${fault}): what came out is not whole`,
    hint: 'make room there, or write it elsewhere, and say it again',
    exitCode: EXIT.failure,
  });
}

/** The commands and flags, for the man page and the shells' completions; they are not to be run. */
export function describeCommands(): Command {
  const nothing = (): void => undefined;
  return buildProgram({ out: nothing, err: nothing } as unknown as CliOptions, nothing);
}

function buildProgram(options: CliOptions, ended: (code: ExitCode) => void): Command {
  const program = new Command('kopano-learnd')
    .description('Teaches rspamd what Kopano users drag into Junk and back.')
    .version(VERSION)
    // what a flag is without being given stands in its description, where it isn't plain
    .configureHelp({ optionDescription: ({ description }) => description })
    .showHelpAfterError('(see kopano-learnd --help)')
    .configureOutput({ writeOut: options.out, writeErr: options.err })
    .exitOverride();
  program
    .command('watch')
    .description('the daemon: learns what lies in the spool, then whatever arrives')
    .option('--once', 'try every message that is there once, then exit (0, 1 or 75)', false)
    .action(async ({ once }: { once: boolean }) => {
      const config = loadConfig(options.environment);
      const log = createLog({ ...config.log, write: options.out });
      const { watch } = await import('./daemon/watch.ts');
      ended(await watch({ ...options, config, log, once }));
    });
  addRelearn(program, options, ended);
  program
    .command('status')
    .description('what waits, what was learned, and what rspamd says of it')
    .option('--json', 'the same as one JSON object', false)
    .action(async ({ json }: { json: boolean }) => {
      const config = loadConfig(options.environment);
      const { status } = await import('./status/command.ts');
      ended(await status({ config, json, out: options.out, stop: options.stop }));
    });
  program
    .command('health')
    .description('is the daemon alive and turning? (0 or 1)')
    .action(async () => {
      const { health } = await import('./status/health.ts');
      ended(await health(options));
    });
  program
    .command('doctor')
    .description('tries everything that must work, and says how to mend what does not')
    .action(async () => {
      const config = loadConfig(options.environment);
      const { doctor } = await import('./doctor/command.ts');
      ended(await doctor({ ...options, config }));
    });
  program
    .command('demo')
    .description('shows the whole job, in a checkout of the sources: npm run demo')
    .action(() => {
      throw new OperatorError({
        code: 'demo.checkout',
        message: 'the demo is no part of the installed program',
        hint: 'in a checkout of its sources: npm ci && npm run demo',
        exitCode: EXIT.usage,
      });
    });
  addQuarantine(program, options, ended);
  return program;
}

/** As commander hands them over. */
interface RelearnWords extends Omit<RelearnFlags, 'dirs' | 'journal' | 'limit' | 'waitMs'> {
  readonly journal?: string;
  readonly limit?: number;
  readonly wait: number;
}

const PATH_HELP =
  'a message, a folder (recursive), a Maildir, an mbox, each also gzip or zstd (by the program zstd); - for stdin: these, or what doveadm fetch "uid text" prints';

function addRelearn(program: Command, options: CliOptions, ended: (code: ExitCode) => void): void {
  const collect = (path: string, paths: string[]): string[] => [...paths, path];
  const posts = 'requests in flight for each controller, 32 unless set';
  const patience = 'give up when rspamd is away for longer, 300 unless set';
  program
    .command('relearn')
    .description('learns a whole archive once; its sources are never changed')
    .argument('[DIR...]', "folders that hold spam/ and ham/, such as the daemon's archive")
    .option('--spam <PATH>', `spam: ${PATH_HELP}`, collect, [])
    .option('--ham <PATH>', 'ham: the same', collect, [])
    .option('--concurrency <N>', posts, whole(1, 1_000), 32)
    .option('--journal <FILE>', 'note there what is done; the same command then goes on')
    .option('--dry-run', 'say what would be learned, and post nothing', false)
    .option('--limit <N>', 'post at most N messages', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--no-bulk', 'let rspamd refuse what Bayes already believes')
    .option('--prove-all', 'prove each message, not one in a hundred', false)
    .option('--wait <SECONDS>', patience, whole(0, 604_800), 300)
    .option('--json', 'the summary as one JSON object', false)
    .option('--quiet', 'no progress', false)
    .action(async (dirs: string[], words: RelearnWords) => {
      const config = loadConfig(options.environment);
      const { relearn } = await import('./relearn/command.ts');
      const { journal, limit = Infinity, wait, ...rest } = words;
      const flags = { ...rest, dirs, journal, limit, waitMs: wait * 1_000 };
      ended(await relearn({ ...options, config, flags }));
    });
}

/** Reads a whole number between two others. */
function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
    throw new InvalidArgumentError(`It must be a whole number from ${min}${upTo}.`);
  };
}

const NAME_HELP = 'NAME, spam/NAME or ham/NAME';
const SELECTING = [
  ['release', 'lets the daemon try messages again'],
  ['drop', 'removes messages for good'],
] as const;

function addQuarantine(
  program: Command,
  options: CliOptions,
  ended: (code: ExitCode) => void,
): void {
  const quarantine = program
    .command('quarantine')
    .description("messages that rspamd can't take: list, show, release or drop them");
  type Commands = typeof import('./quarantine/command.ts');
  const run = async (
    act: (commands: Commands, settings: QuarantineOptions) => Promise<ExitCode>,
  ): Promise<void> => {
    const { stateDir } = loadConfig(options.environment).spool;
    const settings = { ...options, stateDir, wall: () => Date.now() };
    ended(await act(await import('./quarantine/command.ts'), settings));
  };
  quarantine
    .command('list')
    .description('one line each: verdict/name, since when, why')
    .option('--json', 'an array of objects', false)
    .action(({ json }: { json: boolean }) => run((all, given) => all.listQuarantine(given, json)));
  quarantine
    .command('show')
    .argument('<name>', NAME_HELP)
    .description('the reason on standard error, the message on standard output')
    .action((name: string) => run((all, given) => all.showQuarantined(given, name)));
  for (const [word, description] of SELECTING) {
    quarantine
      .command(word)
      .argument('[names...]', NAME_HELP)
      .option('--all', 'every one', false)
      .description(description)
      .action((names: string[], { all }: { all: boolean }) => {
        const selection = selectionOf(names, all);
        return run(({ releaseQuarantined, dropQuarantined }, given) =>
          (word === 'release' ? releaseQuarantined : dropQuarantined)(given, selection),
        );
      });
  }
}

function selectionOf(names: readonly string[], all: boolean): Selection {
  if (all && names.length === 0) return 'all';
  if (!all && names.length > 0) return names;
  throw new OperatorError({
    code: 'usage.names',
    message: all ? '--all and names exclude each other' : 'no message is named',
    hint: 'give NAMES as kopano-learnd quarantine list shows them, or --all',
    exitCode: EXIT.usage,
  });
}
