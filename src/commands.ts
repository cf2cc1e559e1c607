import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { settingsOf } from './command-options.ts';
import type { CommandOptions } from './command-options.ts';
import { loadConfig, readConfig } from './config.ts';
import { EXIT, OperatorError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import type { EvaluateFlags } from './evaluate/command.ts';
import { createLog } from './logger.ts';
import type { RelearnFlags } from './relearn/command.ts';
import { rootsAccount } from './run-as.ts';
import { SETTINGS_FILE } from './settings-file.ts';
import { unknownText } from './settings.ts';
import { clean } from './text.ts';
import { isAddress } from './user.ts';
import { VERSION } from './version.ts';

/** The commands: their words and flags, and what each hands to the room that does the work. */

/** The command that was called. */
export interface Called {
  /** `relearn`, or `quarantine` for any of its own commands. */
  readonly name: string;
  /** Whom it is to run as, where the words say so. */
  readonly user: string | undefined;
  /** Its other words, which may be paths. */
  readonly paths: readonly string[];
  readonly run: Run;
}

type Run = () => Promise<ExitCode>;

/** Makes the action of a command, which keeps what there is to run. */
type Later = <Given extends unknown[]>(
  act: (...given: Given) => Promise<ExitCode>,
) => (...given: Given) => void;

/**
 * Finds the command that `words` name.
 * @returns the exit code where the words are wrong, or ask for help; that was told
 */
export function readWords(words: readonly string[], options: CommandOptions): Called | ExitCode {
  let run = undefined as Run | undefined;
  const program = buildProgram(options, (act) => (...given) => {
    run = () => act(...given);
  });
  let command = program;
  program.hook('preAction', (_, called) => {
    command = called;
  });
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    // Commander has told it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    throw error;
  }
  if (run === undefined) return EXIT.done;
  const { parent, args } = command;
  const name = (parent === null || parent === program ? command : parent).name();
  const { spam = [], ham = [], class: further = [] } = command.opts<PathWords>();
  const classes = further.map((each) => each.slice(each.indexOf('=') + 1));
  return { name, user: userWord(command), paths: [...args, ...spam, ...ham, ...classes], run };
}

type PathWords = Partial<Record<'spam' | 'ham' | 'class', readonly string[]>>;

/** Whom the words of a command say to run it as: before its name, or behind it where it has no `--user` of its own. */
function userWord(command: Command): string | undefined {
  for (let each: Command | null = command; each !== null; each = each.parent) {
    const { user } = each.opts<{ readonly user?: string }>();
    if (user !== undefined && each.name() !== 'relearn') return user;
  }
  return undefined;
}

/** What the bare name with `--help` prints. */
export function helpText(): string {
  return `${describeCommands().helpInformation()}${SETTINGS_HELP}`;
}

/** There is no flag for a setting. */
const SETTINGS_HELP = `
Settings are lines NAME=VALUE of ${SETTINGS_FILE}, such as
RSPAMD_URL=http://127.0.0.1:11334, or variables of the environment. The file
has another place by the variable KOPANO_LEARND_CONF.
`;

/** The commands and flags, for the man page and the shells' completions; they are not to be run. */
export function describeCommands(): Command {
  const nothing = (): void => undefined;
  return buildProgram({ out: nothing, err: nothing } as unknown as CommandOptions, () => nothing);
}

function buildProgram(options: CommandOptions, later: Later): Command {
  const program = new Command('kopano-learnd')
    .description('Teaches rspamd and SpamAssassin what Kopano users drag into Junk and back.')
    .version(VERSION)
    .option('--user <NAME>', "run as this user; root's commands run as the spool's owner")
    // relearn has a --user of its own
    .enablePositionalOptions()
    // what a flag is without being given stands in its description, where it isn't plain
    .configureHelp({ optionDescription: ({ description }) => description })
    .configureOutput({
      writeOut: options.out,
      writeErr: options.err,
      outputError: (text, write) => write(text.replace(/^error: /, 'kopano-learnd: ')),
    })
    .helpCommand(false)
    .exitOverride()
    .addHelpText('after', SETTINGS_HELP);
  program
    .command('watch')
    .description('the daemon: learns what lies in the spool, then whatever arrives')
    .addHelpText('after', SETTINGS_HELP)
    .option('--once', 'try every message that is there once, then exit (0, 1 or 75)', false)
    .action(
      later(async ({ once }: { once: boolean }) => {
        const config = loadConfig(options.environment);
        const { terminal, isJournal, out } = options;
        const log = createLog({ ...config.log, terminal, isJournal, write: out });
        for (const unknown of config.unknown) {
          log('warning', 'settings.unknown', unknownText(unknown), { ...unknown });
        }
        const { watch } = await import('./daemon/watch.ts');
        return watch({ ...options, config, log, once });
      }),
    );
  addRelearn(program, options, later);
  addEvaluate(program, options, later);
  addQuestions(program, options, later);
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
  addQuarantine(program, options, later);
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
function addQuestions(program: Command, options: CommandOptions, later: Later): void {
  const columns = options.terminal?.columns ?? 80;
  program
    .command('status')
    .description('what waits, what was learned, and what the filter says of it')
    .option('--json', 'the same as one JSON object', false)
    .action(
      later(async ({ json }: { json: boolean }) => {
        const config = settingsOf(options);
        const { status } = await import('./status/command.ts');
        return status({ ...options, config, json, columns });
      }),
    );
  program
    .command('health')
    .description('is the daemon alive and turning? (0 or 1)')
    .action(later(async () => (await import('./status/health.ts')).health(options)));
  program
    .command('doctor')
    .description('tries everything that must work, and says how to mend what does not')
    .option('--all', 'what is well, too', false)
    .option('--json', 'all of it as one JSON object', false)
    .action(
      later(async (flags: { all: boolean; json: boolean }, command: Command) => {
        const read = readConfig(options.environment);
        const { doctor } = await import('./doctor/command.ts');
        const isRoots = options.identity.uid === 0 && userWord(command) === undefined;
        const refusal = isRoots ? rootsAccount(read.config.spool).refusal : undefined;
        return doctor({ ...options, ...read, ...flags, columns, refusal });
      }),
    );
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

const PATH_HELP =
  'a message, a folder (recursive), a Maildir, an mbox, each also gzip or zstd (by the program zstd); - for stdin: these, or what doveadm fetch "uid text" prints';

const SAMPLE_HELP =
  'post at most N learned messages again at the end, to see whether rspamd knows them: 200 unless set';
const USER_HELP =
  "teach all of it to this user's own memory (per_user in rspamd); whom to run as stands before relearn";

const DIR_HELP =
  "folders that hold spam/ and ham/, such as the daemon's archive; or Maildirs with a junk folder";

function collect(path: string, paths: string[]): string[] {
  return [...paths, path];
}

function addRelearn(program: Command, options: CommandOptions, later: Later): void {
  const posts = 'requests in flight for each controller, 32 unless set';
  const patience =
    'give up when the filter is away for longer: 300 unless set, 10 before its first answer';
  program
    .command('relearn')
    .description('learns a whole archive once; its sources are never changed')
    .argument('[DIR...]', DIR_HELP)
    .option('--spam <PATH>', `spam: ${PATH_HELP}`, collect, [])
    .option('--ham <PATH>', 'ham: the same', collect, [])
    .option('--class <NAME=PATH>', 'a class of LEARN_CLASSES: the same', collect, [])
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
    .action(
      later(async (dirs: string[], words: Omit<RelearnFlags, 'dirs'>) => {
        const config = settingsOf(options);
        const { relearn } = await import('./relearn/command.ts');
        return relearn({ ...options, config, flags: { ...words, dirs } });
      }),
    );
}

function addEvaluate(program: Command, options: CommandOptions, later: Later): void {
  program
    .command('evaluate')
    .description('tries an archive on a private filter: what learning is worth, and who misjudged')
    .argument('[DIR...]', DIR_HELP)
    .option('--spam <PATH>', `spam: ${PATH_HELP}`, collect, [])
    .option('--ham <PATH>', 'ham: the same', collect, [])
    .option('--folds <K>', 'parts of the cross-validation, 5 unless set', whole(2, 100), 5)
    .option('--seed <N>', 'deals the messages to the parts in another way', whole(0, 1e9), 1)
    .option('--limit <N>', 'read at most N messages', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--out <FILE>', 'write the paths of the disputed messages there, one a line')
    .option('--html <FILE>', 'write all of it as a page there, with plots')
    .option('--json', 'all of it as one JSON object', false)
    .option('--quiet', 'no progress', false)
    .action(
      later(async (dirs: string[], words: Omit<EvaluateFlags, 'dirs' | 'class'>) => {
        const config = settingsOf(options);
        const { evaluate } = await import('./evaluate/command.ts');
        return evaluate({ ...options, config, flags: { ...words, dirs, class: [] } });
      }),
    );
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
  ['release', 'lets the daemon try messages again', 'releaseQuarantined'],
  ['drop', 'removes messages for good', 'dropQuarantined'],
] as const;

function addQuarantine(program: Command, options: CommandOptions, later: Later): void {
  const quarantine = program
    .command('quarantine')
    .description("messages that a filter can't take: list, show, release or drop them");
  const load = async () => {
    const { stateDir } = settingsOf(options).spool;
    return { ...(await import('./quarantine/command.ts')), given: { ...options, stateDir } };
  };
  quarantine
    .command('list')
    .description('one line each: verdict/name, since when, why')
    .option('--json', 'an array of objects', false)
    .action(
      later(async ({ json }: { json: boolean }) => {
        const { listQuarantine, given } = await load();
        return listQuarantine(given, json);
      }),
    );
  quarantine
    .command('show')
    .argument('<name>', NAME_HELP)
    .description('the reason on standard error, the message on standard output')
    .action(
      later(async (name: string) => {
        const { showQuarantined, given } = await load();
        return showQuarantined(given, name);
      }),
    );
  for (const [word, description, act] of SELECTING) {
    quarantine
      .command(word)
      .argument('[names...]', NAME_HELP)
      .option('--all', 'every one', false)
      .description(description)
      .action(
        later(async (names: string[], { all }: { all: boolean }) => {
          const { [act]: dispose, selectionOf, given } = await load();
          return dispose(given, selectionOf(names, all));
        }),
      );
  }
}
