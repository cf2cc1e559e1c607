import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { loadConfig, readConfig } from './config.ts';
import type { Config, Environment, SpoolConfig } from './config.ts';
import { EXIT, OperatorError, formatError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { createLog, forJournal } from './logger.ts';
import type { RelearnFlags } from './relearn/command.ts';
import type { QuarantineOptions, Selection } from './quarantine/command.ts';
import { accountFor, isInSpool } from './run-as.ts';
import type { Account } from './run-as.ts';
import { procFault } from './spool/folder.ts';
import { unknownText } from './settings.ts';
import { clean, wrap } from './text.ts';
import type { Terminal } from './text.ts';
import { isAddress } from './user.ts';
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
  /** Where standard output is seen; `undefined` for a pipe or a file. */
  readonly terminal: Terminal | undefined;
  /** journald reads standard output. */
  readonly isJournal: boolean;
  /** Standard error: prose. */
  readonly err: (text: string) => void;
  readonly errTerminal: Terminal | undefined;
  readonly stdin: () => AsyncIterable<Buffer>;
  /** Runs this command as somebody else. Rejects with an `OperatorError` where that can't be done. */
  readonly runAs: (account: Account) => Promise<ExitCode>;
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
};

/** Thrown instead of running a command that somebody else has run. */
class RanAs extends Error {
  override readonly name = 'RanAs';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode) {
    super('somebody else has run it');
    this.exitCode = exitCode;
  }
}

/** Runs one command. Never rejects for what an operator can mend; those faults are printed on `err`. */
export async function runCli(options: CliOptions): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  let isDaemon = false as boolean;
  const program = buildProgram(options, (code) => {
    exitCode = code;
  });
  program.hook('preAction', async (_, command) => {
    isDaemon = command.name() === 'watch';
    const fault = NEED_NO_PROC.has(command.name()) ? undefined : procFault();
    if (fault !== undefined) throw fault;
    const account = accountOf(options, command);
    if (account === undefined) return;
    const { name = `uid ${account.uid}`, because } = account;
    say(options, `kopano-learnd: runs as ${name}, ${because}`);
    throw new RanAs(await options.runAs(account));
  });
  if (options.args.length === 0 && options.terminal !== undefined) {
    options.out(`${program.helpInformation()}${intention(options)}`);
    return EXIT.done;
  }
  try {
    await program.parseAsync(withCommand(options.args), { from: 'user' });
    if (!isDaemon) checkOutput(options.outputFault());
    return exitCode;
  } catch (error) {
    // Commander has told it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error instanceof RanAs) return error.exitCode;
    if (!(error instanceof OperatorError)) throw error;
    const text = formatError(error, options.errTerminal?.columns);
    // Unmarked, it would be no error to journalctl -p err.
    options.err(options.isJournal ? forJournal(text, 'err') : text);
    return error.exitCode;
  }
}

/** Tells something on standard error. */
function say({ err, errTerminal }: CliOptions, text: string): void {
  err(`${wrap(text, errTerminal?.columns ?? Infinity, '    ')}\n`);
}

/** Whom a command has to run as; `undefined`: who runs it. */
function accountOf({ environment, identity }: CliOptions, command: Command): Account | undefined {
  const use = SPOOL_USE[command.name()] ?? SPOOL_USE[command.parent?.name() ?? ''];
  if (use === undefined) return undefined;
  const { spam = [], ham = [] } = command.opts<PathWords>();
  const user = userWord(command);
  if (identity.uid !== 0 && user === undefined) return undefined;
  // The doctor tells of wrong settings in its own way.
  const isDoctor = command.name() === 'doctor';
  const { spool } = isDoctor ? readConfig(environment).config : loadConfig(environment);
  // Elsewhere relearn reads what may be for root alone.
  const paths = [...command.args, ...spam, ...ham];
  if (command.name() === 'relearn' && user === undefined && !isInSpool(paths, spool)) {
    return undefined;
  }
  return accountFor({ spool, wanted: user, uid: identity.uid, writes: use === 'writes' });
}

/** Whom the words of a command say to run it as: before its name, or behind it where it has no `--user` of its own. */
function userWord(command: Command): string | undefined {
  for (let each: Command | null = command; each !== null; each = each.parent) {
    const { user } = each.opts<{ readonly user?: string }>();
    if (user !== undefined && each.name() !== 'relearn') return user;
  }
  return undefined;
}

interface PathWords {
  readonly spam?: readonly string[];
  readonly ham?: readonly string[];
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
  const { spool, rspamd } = config;
  const urls = rspamd.controllers.map(({ name }) => name).join(', ');
  const { account, refusal } = identity.uid === 0 ? rootsAccount(spool) : {};
  let who = '';
  if (account !== undefined) who = `, as ${account.name ?? `uid ${account.uid}`}`;
  if (refusal !== undefined) who = `; but ${refusal.message}`;
  const text = `kopano-learnd watch would watch ${spool.libDir} and teach ${urls}${who}.`;
  return `\n${wrap(text, terminal?.columns ?? Infinity)}\n`;
}

/** Whom root's `watch` would run as, or why it would not. */
function rootsAccount(spool: SpoolConfig): {
  readonly account?: Account | undefined;
  readonly refusal?: OperatorError;
} {
  try {
    return { account: accountFor({ spool, wanted: undefined, uid: 0, writes: true }) };
  } catch (error) {
    if (error instanceof OperatorError) return { refusal: error };
    throw error;
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

/** The commands and flags, for the man page and the shells' completions; they are not to be run. */
export function describeCommands(): Command {
  const nothing = (): void => undefined;
  return buildProgram({ out: nothing, err: nothing } as unknown as CliOptions, nothing);
}

function buildProgram(options: CliOptions, ended: (code: ExitCode) => void): Command {
  const program = new Command('kopano-learnd')
    .description('Teaches rspamd what Kopano users drag into Junk and back.')
    .version(VERSION)
    .option('--user <NAME>', "run as this user; root's commands run as the spool's owner")
    // relearn has a --user of its own
    .enablePositionalOptions()
    // what a flag is without being given stands in its description, where it isn't plain
    .configureHelp({ optionDescription: ({ description }) => description })
    .configureOutput({
      writeOut: options.out,
      writeErr: options.err,
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'kopano-learnd: '));
      },
    })
    .helpCommand(false)
    .exitOverride();
  program
    .command('watch')
    .description('the daemon: learns what lies in the spool, then whatever arrives')
    .option('--once', 'try every message that is there once, then exit (0, 1 or 75)', false)
    .action(async ({ once }: { once: boolean }) => {
      const config = loadConfig(options.environment);
      const { terminal, isJournal, out } = options;
      const log = createLog({ ...config.log, terminal, isJournal, write: out });
      for (const unknown of config.unknown) {
        log('warning', 'settings.unknown', unknownText(unknown), { ...unknown });
      }
      const { watch } = await import('./daemon/watch.ts');
      ended(await watch({ ...options, config, log, once }));
    });
  addRelearn(program, options, ended);
  addQuestions(program, options, ended);
  program
    .command('demo')
    .description('shows the whole job, in a checkout of the sources: npm run demo')
    .action(() => {
      throw new OperatorError({
        code: 'demo.checkout',
        message: 'the demo is no part of the installed program',
        hint: 'in a checkout of its sources',
        command: 'npm ci && npm run demo',
        exitCode: EXIT.usage,
      });
    });
  addQuarantine(program, options, ended);
  addHelp(program);
  allowUserBehind(program);
  return program;
}

/** `--user` may stand behind a command's name, too. */
function allowUserBehind(program: Command): void {
  for (const command of program.commands) {
    const isTaken = command.options.some(({ long }) => long === '--user');
    if (!isTaken) command.addOption(new Option('--user <NAME>').hideHelp());
    allowUserBehind(command);
  }
}

/** The commands that ask how things are. */
function addQuestions(
  program: Command,
  options: CliOptions,
  ended: (code: ExitCode) => void,
): void {
  const columns = options.terminal?.columns ?? 80;
  program
    .command('status')
    .description('what waits, what was learned, and what rspamd says of it')
    .option('--json', 'the same as one JSON object', false)
    .action(async ({ json }: { json: boolean }) => {
      const config = settingsOf(options);
      const { status } = await import('./status/command.ts');
      ended(await status({ ...options, config, json, columns }));
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
    .option('--all', 'what is well, too', false)
    .option('--json', 'all of it as one JSON object', false)
    .action(async (flags: { all: boolean; json: boolean }, command: Command) => {
      const read = readConfig(options.environment);
      const { doctor } = await import('./doctor/command.ts');
      const isRoots = options.identity.uid === 0 && userWord(command) === undefined;
      const refusal = isRoots ? rootsAccount(read.config.spool).refusal : undefined;
      ended(await doctor({ ...options, ...read, ...flags, columns, refusal }));
    });
}

/** Not commander's: that answers a mistyped command with the general help. */
function addHelp(program: Command): void {
  program
    .command('help')
    .argument('[command...]')
    .description('the help of a command')
    .action((words: string[]) => {
      const found = words.reduce<Command | undefined>(
        (command, word) => command?.commands.find((each) => each.name() === word),
        program,
      );
      if (found !== undefined) found.outputHelp();
      else program.error(`error: there is no command '${clean(words.join(' '))}'`);
    });
  const point = (command: Command, name: string): void => {
    command.showHelpAfterError(`(see ${name} --help)`);
    for (const each of command.commands) point(each, `${name} ${each.name()}`);
  };
  point(program, program.name());
}

/** The settings, after a word on what looks like one and is none. */
function settingsOf(options: CliOptions): Config {
  const config = loadConfig(options.environment);
  for (const unknown of config.unknown) say(options, `kopano-learnd: ${unknownText(unknown)}`);
  return config;
}

/** As commander hands them over. */
interface RelearnWords extends Omit<
  RelearnFlags,
  'dirs' | 'journal' | 'limit' | 'waitMs' | 'user'
> {
  readonly journal?: string;
  readonly user?: string;
  readonly limit?: number;
  readonly wait?: number;
}

const PATH_HELP =
  'a message, a folder (recursive), a Maildir, an mbox, each also gzip or zstd (by the program zstd); - for stdin: these, or what doveadm fetch "uid text" prints';

const SAMPLE_HELP =
  'post at most N learned messages again at the end, to see whether rspamd knows them: 200 unless set';
const USER_HELP =
  "teach all of it to this user's own memory (per_user in rspamd); whom to run as stands before relearn";

function addRelearn(program: Command, options: CliOptions, ended: (code: ExitCode) => void): void {
  const collect = (path: string, paths: string[]): string[] => [...paths, path];
  const posts = 'requests in flight for each controller, 32 unless set';
  const patience =
    'give up when rspamd is away for longer: 300 unless set, 10 before its first answer';
  program
    .command('relearn')
    .description('learns a whole archive once; its sources are never changed')
    .argument(
      '[DIR...]',
      "folders that hold spam/ and ham/, such as the daemon's archive; or Maildirs with a junk folder",
    )
    .option('--spam <PATH>', `spam: ${PATH_HELP}`, collect, [])
    .option('--ham <PATH>', 'ham: the same', collect, [])
    .option('--concurrency <N>', posts, whole(1, 1_000), 32)
    .option('--journal <FILE>', 'note there what is done; the same command then goes on')
    .option('--dry-run', 'say what would be learned, and post nothing', false)
    .option('--limit <N>', 'post at most N messages', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--no-bulk', 'let rspamd refuse what Bayes already believes')
    .option('--prove-all', 'prove each message, not one in a hundred', false)
    .option('--sample <N>', SAMPLE_HELP, whole(0, 10_000), 200)
    .option('--confirm', "wait until Bayes' own count shows what was learned", false)
    .option('--user <ADDRESS>', USER_HELP, address)
    .option('--wait <SECONDS>', patience, whole(0, 604_800))
    .option('--json', 'the summary as one JSON object', false)
    .option('--quiet', 'no progress', false)
    .action(async (dirs: string[], words: RelearnWords) => {
      const config = settingsOf(options);
      const { relearn } = await import('./relearn/command.ts');
      const { journal, limit = Infinity, wait, user, ...rest } = words;
      const waitMs = wait === undefined ? undefined : wait * 1_000;
      const flags = { ...rest, dirs, journal, limit, waitMs, user };
      ended(await relearn({ ...options, config, flags }));
    });
}

/** Reads an address. */
function address(text: string): string {
  if (isAddress(text)) return text;
  throw new InvalidArgumentError(
    'It must be the address of the user whose memory learns. Whom to run as stands before the command: kopano-learnd --user NAME relearn.',
  );
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
    const { stateDir } = settingsOf(options).spool;
    const settings = { ...options, stateDir };
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
    hint: 'give NAMES as the list shows them, or --all',
    command: 'kopano-learnd quarantine list',
    exitCode: EXIT.usage,
  });
}
