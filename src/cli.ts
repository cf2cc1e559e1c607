import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { loadConfig } from './config.ts';
import type { QuarantineOptions, Selection } from './commands/quarantine.ts';
import type { Environment } from './config.ts';
import { EXIT, OperatorError, complaint } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { createLog } from './logger.ts';
import { procFault } from './spool/folder.ts';
import { nearest } from './text.ts';
import { VERSION } from './version.ts';

/** The command line: words and flags, and which command they mean. */
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
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Standard error: prose. */
  readonly err: (text: string) => void;
  /** Whether standard error is a terminal. */
  readonly errIsTerminal: boolean;
  readonly stdin: () => AsyncIterable<Buffer>;
}

/** One touches no file, the other says what is missing in its own way. */
const NEED_NO_PROC = new Set(['health', 'doctor']);

/** Runs one command. Never rejects for what an operator can mend; those faults are told on `err`. */
export async function runCli(options: CliOptions): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  let isDaemon = false as boolean;
  const program = commandLine(options, (code) => {
    exitCode = code;
  });
  program.hook('preAction', (_, command) => {
    isDaemon = command.name() === 'watch';
    const fault = NEED_NO_PROC.has(command.name()) ? undefined : procFault();
    if (fault !== undefined) throw fault;
  });
  try {
    const [word] = options.args;
    const known = program.commands.map((command) => command.name());
    if (word !== undefined && !word.startsWith('-') && ![...known, 'help'].includes(word)) {
      throw unknownCommand(word, known);
    }
    await program.parseAsync(options.args, { from: 'user' });
    if (!isDaemon) checkOutput(options.outputFault());
    return exitCode;
  } catch (error) {
    // Commander has told it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (!(error instanceof OperatorError)) throw error;
    options.err(complaint(error));
    return error.exitCode;
  }
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

function commandLine(options: CliOptions, ended: (code: ExitCode) => void): Command {
  const program = new Command('kopano-learnd')
    .description('Teaches rspamd what Kopano users drag into Junk and back.')
    .version(VERSION)
    // what a flag is without being given stands in its description, where it isn't plain
    .configureHelp({ optionDescription: ({ description }) => description })
    .showHelpAfterError('(see kopano-learnd --help)')
    .configureOutput({ writeOut: options.out, writeErr: options.err })
    .exitOverride();
  program
    .command('watch', { isDefault: true })
    .description('the daemon: learns what lies in the spool, then whatever arrives')
    .option('--once', 'try every message that is there once, then exit (0, 1 or 75)', false)
    .copyInheritedSettings(program)
    .action(async ({ once }: { once: boolean }) => {
      const config = loadConfig(options.environment);
      const log = createLog({ ...config.log, write: options.out });
      const { watch } = await import('./commands/watch.ts');
      ended(await watch({ ...options, config, log, once }));
    });
  addRelearn(program, options, ended);
  program
    .command('status')
    .description('what waits, what was learned, and what rspamd says of it')
    .option('--json', 'the same as one JSON object', false)
    .copyInheritedSettings(program)
    .action(async ({ json }: { json: boolean }) => {
      const config = loadConfig(options.environment);
      const { status } = await import('./commands/status.ts');
      ended(await status({ config, json, out: options.out, stop: options.stop }));
    });
  program
    .command('health')
    .description('is the daemon alive and turning? (0 or 1)')
    .copyInheritedSettings(program)
    .action(async () => {
      const { health } = await import('./commands/health.ts');
      ended(await health(options));
    });
  program
    .command('doctor')
    .description('tries everything that must work, and says how to mend what does not')
    .copyInheritedSettings(program)
    .action(async () => {
      const config = loadConfig(options.environment);
      const { doctor } = await import('./commands/doctor.ts');
      ended(await doctor({ ...options, config }));
    });
  program
    .command('demo')
    .description('shows the whole job, in a checkout of the sources: npm run demo')
    .copyInheritedSettings(program)
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

interface RelearnWords {
  readonly spam: string[];
  readonly ham: string[];
  readonly concurrency: number;
  readonly journal?: string;
  readonly dryRun: boolean;
  readonly limit?: number;
  readonly bulk: boolean;
  readonly proveAll: boolean;
  readonly wait: number;
  readonly json: boolean;
  readonly quiet: boolean;
}

function addRelearn(program: Command, options: CliOptions, ended: (code: ExitCode) => void): void {
  const collect = (path: string, paths: string[]): string[] => [...paths, path];
  program
    .command('relearn')
    .description('learns a whole archive once; its sources are never changed')
    .argument('[DIR...]', "folders that hold spam/ and ham/, such as the daemon's archive")
    .option('--spam <PATH>', `spam: ${PATH_HELP}`, collect, [])
    .option('--ham <PATH>', 'ham: the same', collect, [])
    .option(
      '--concurrency <N>',
      'requests in flight for each controller, 32 unless set',
      whole(1, 1_000),
      32,
    )
    .option('--journal <FILE>', 'note there what is done; the same command then goes on')
    .option('--dry-run', 'say what would be learned, and post nothing', false)
    .option('--limit <N>', 'post at most N messages', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--no-bulk', 'let rspamd refuse what Bayes already believes')
    .option('--prove-all', 'prove each message, not one in a hundred', false)
    .option(
      '--wait <SECONDS>',
      'give up when rspamd is away for longer, 300 unless set',
      whole(0, 604_800),
      300,
    )
    .option('--json', 'the summary as one JSON object', false)
    .option('--quiet', 'no progress', false)
    .copyInheritedSettings(program)
    .action(async (dirs: string[], words: RelearnWords) => {
      const config = loadConfig(options.environment);
      const { relearn } = await import('./relearn/command.ts');
      const { journal, limit = Infinity, wait, ...rest } = words;
      ended(
        await relearn({
          ...options,
          config,
          flags: { ...rest, dirs, journal, limit, waitMs: wait * 1_000 },
        }),
      );
    });
}

const PATH_HELP =
  'a message, a folder (recursive), a Maildir, an mbox, each also gzip or zstd (by the program zstd); - for stdin: these, or what doveadm fetch prints';

/** Reads a whole number between two others. */
function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
      throw new InvalidArgumentError(`It must be a whole number from ${min}${upTo}.`);
    }
    return value;
  };
}

function addQuarantine(
  program: Command,
  options: CliOptions,
  ended: (code: ExitCode) => void,
): void {
  const quarantine = program
    .command('quarantine')
    .description("messages that rspamd can't take: list, show, release or drop them")
    .copyInheritedSettings(program);
  const load = async (): Promise<
    [QuarantineOptions, typeof import('./commands/quarantine.ts')]
  > => {
    const { stateDir } = loadConfig(options.environment).spool;
    const { stop, out, outBytes, isTerminal, err } = options;
    return [
      { stateDir, stop, out, outBytes, isTerminal, err, wall: () => Date.now() },
      await import('./commands/quarantine.ts'),
    ];
  };
  quarantine
    .command('list')
    .description('one line each: verdict/name, since when, why')
    .option('--json', 'an array of objects', false)
    .copyInheritedSettings(quarantine)
    .action(async ({ json }: { json: boolean }) => {
      const [settings, { listQuarantine }] = await load();
      ended(await listQuarantine(settings, json));
    });
  quarantine
    .command('show')
    .argument('<name>', 'NAME, spam/NAME or ham/NAME')
    .description('the reason on standard error, the message on standard output')
    .copyInheritedSettings(quarantine)
    .action(async (name: string) => {
      const [settings, { showQuarantined }] = await load();
      ended(await showQuarantined(settings, name));
    });
  quarantine
    .command('release')
    .argument('[names...]', 'NAME, spam/NAME or ham/NAME')
    .option('--all', 'every one', false)
    .description('lets the daemon try messages again')
    .copyInheritedSettings(quarantine)
    .action(async (names: string[], { all }: { all: boolean }) => {
      const selection = selectionOf(names, all);
      const [settings, { releaseQuarantined }] = await load();
      ended(await releaseQuarantined(settings, selection));
    });
  quarantine
    .command('drop')
    .argument('[names...]', 'NAME, spam/NAME or ham/NAME')
    .option('--all', 'every one', false)
    .description('removes messages for good')
    .copyInheritedSettings(quarantine)
    .action(async (names: string[], { all }: { all: boolean }) => {
      const selection = selectionOf(names, all);
      const [settings, { dropQuarantined }] = await load();
      ended(await dropQuarantined(settings, selection));
    });
}

function selectionOf(names: readonly string[], all: boolean): Selection {
  if (all && names.length === 0) return { kind: 'all' };
  if (!all && names.length > 0) return { kind: 'names', names };
  throw new OperatorError({
    code: 'usage.names',
    message: all ? '--all and names exclude each other' : 'no message is named',
    hint: 'give NAMES as kopano-learnd quarantine list shows them, or --all',
    exitCode: EXIT.usage,
  });
}

function unknownCommand(word: string, known: readonly string[]): OperatorError {
  const meant = nearest(word, known);
  return new OperatorError({
    code: 'usage.command',
    message: `'${word}' is not a command`,
    hint:
      meant === undefined
        ? `one of ${known.join(', ')}; see kopano-learnd --help`
        : `did you mean '${meant}'? See kopano-learnd --help`,
    exitCode: EXIT.usage,
  });
}
