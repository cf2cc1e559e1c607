/**
 * `node scripts/manual.mjs FOLDER`: the man page and the shells' completions, made from the command
 * line's own definitions and from the tables of docs/, so that they never say anything else:
 *
 *   kopano-learnd.1       for man
 *   kopano-learnd.conf.5  for man: the settings, as a file
 *   kopano-learnd.bash    for bash-completion
 *   _kopano-learnd        for zsh
 *   kopano-learnd.fish    for fish
 */
import { build } from 'esbuild';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const NAME = 'kopano-learnd';
const root = path.join(import.meta.dirname, '..');

/** Writes the files. @param {string} folder @param {string} date the page's, YYYY-MM-DD */
export async function writeManual(folder, date) {
  const program = await loadProgram();
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));
  const [settings, codes] = await Promise.all([
    tableRows('docs/configuration.md', 'Settings'),
    tableRows('docs/commands.md', 'Exit codes'),
  ]);
  const files = {
    [`${NAME}.1`]: manPage({ program, version, date, settings, codes }),
    [`${NAME}.conf.5`]: settingsPage({ version, date, settings }),
    [`${NAME}.bash`]: bashCompletion(program),
    [`_${NAME}`]: zshCompletion(program),
    [`${NAME}.fish`]: fishCompletion(program),
  };
  await mkdir(folder, { recursive: true });
  await Promise.all(
    Object.entries(files).map(([name, text]) => writeFile(path.join(folder, name), text)),
  );
}

/** The command line's definitions, which are TypeScript. */
async function loadProgram() {
  const folder = await mkdtemp(path.join(tmpdir(), 'learnd-manual-'));
  try {
    const outfile = path.join(folder, 'cli.mjs');
    await build({
      entryPoints: [path.join(root, 'src/commands.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20.19',
      format: 'esm',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
      logLevel: 'warning',
    });
    const { describeCommands } = await import(pathToFileURL(outfile).href);
    return describeCommands();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The rows below the head of the first table under a heading, as plain text. */
export async function tableRows(file, heading) {
  const text = await readFile(path.join(root, file), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  const lines = section?.split('\n').filter((line) => line.startsWith('|')) ?? [];
  const rows = lines.slice(2).map((line) => line.split('|').slice(1, -1).map(plain));
  if (rows.length === 0) throw new Error(`${file} has no table under "${heading}"`);
  return rows;
}

function plain(markdown) {
  return markdown
    .trim()
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '');
}

// --- the commands

/** Every command that does something, with its words: `quarantine list`. */
function leaves(command, words = []) {
  const children = childrenOf(command);
  if (children.length === 0) return [{ command, words }];
  return children.flatMap((child) => leaves(child, [...words, child.name()]));
}

function childrenOf(command) {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
}

function optionsOf(command) {
  return command.createHelp().visibleOptions(command);
}

// --- man

function manPage({ program, version, date, settings, codes }) {
  const commands = leaves(program).flatMap(({ command, words }) => [
    `.SS ${roff([...words, usageOf(command)].join(' ').trim())}`,
    sentence(command.description()),
    ...optionsOf(command)
      .filter(({ long }) => long !== '--help')
      .flatMap(({ flags, description }) => ['.TP', `.B ${roff(flags)}`, roff(description)]),
  ]);
  return [
    `.TH KOPANO\\-LEARND 1 ${date} "${NAME} ${version}"`,
    '.SH NAME',
    `${roff(NAME)} \\- ${roff(program.description().replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    ...leaves(program).flatMap(({ command, words }, index) => [
      ...(index > 0 ? ['.br'] : []),
      `.B ${roff([NAME, ...words].join(' '))}`,
      roff(usageOf(command)),
    ]),
    '.SH OPTIONS',
    ...program.options.flatMap(({ flags, description }) => [
      '.TP',
      `.B ${roff(flags)}`,
      sentence(description),
    ]),
    '.SH COMMANDS',
    ...commands,
    '.SH SETTINGS',
    'Settings are environment variables, or lines NAME=VALUE of /etc/kopano\\-learnd.conf, taken literally.',
    'The environment wins. KOPANO_LEARND_CONF names another file.',
    ...settingsList(settings),
    '.SH EXIT STATUS',
    ...codes.flatMap(([code, meaning]) => ['.TP', `.B ${roff(code)}`, roff(capital(meaning))]),
    '.SH SEE ALSO',
    `.BR ${roff(NAME)}.conf (5)`,
    '',
  ].join('\n');
}

function settingsPage({ version, date, settings }) {
  const file = `/etc/${NAME}.conf`;
  return [
    `.TH KOPANO\\-LEARND.CONF 5 ${date} "${NAME} ${version}"`,
    '.SH NAME',
    `${roff(`${NAME}.conf`)} \\- settings of ${roff(NAME)}`,
    '.SH DESCRIPTION',
    roff(
      `${file} holds one NAME=VALUE a line. A value is taken as it stands, without quotes. Lines that begin with # are comments.`,
    ),
    roff(
      `Variables of the environment come before the file, and KOPANO_LEARND_CONF names another one. A file that its group or others may write to is refused.`,
    ),
    '.SH SETTINGS',
    ...settingsList(settings),
    '.SH SEE ALSO',
    `.BR ${roff(NAME)} (1)`,
    '',
  ].join('\n');
}

function settingsList(settings) {
  return settings.flatMap(([name, fallback, meaning]) => [
    '.TP',
    `.B ${roff(name)}`,
    `${sentence(meaning)} Default: ${roff(fallback)}.`,
  ]);
}

/** What stands behind a command's words. */
function usageOf(command) {
  return command.usage().replace('[options]', '[OPTIONS]');
}

function sentence(text) {
  return `${roff(capital(text)).replace(/\.$/, '')}.`;
}

/** Names of programs stay as they are written. */
export function capital(text) {
  return /^(?:rspamd|kopano)/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
}

/** Text that groff prints as it is, on one line. */
function roff(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1');
}

// --- completions

/** Options that take a file; the shells complete its path. */
function takesPath({ flags }) {
  return /<(?:PATH|FILE)>/.test(flags);
}

function isFlag({ flags }) {
  return !flags.includes('<');
}

function bashCompletion(program) {
  const commands = everyCommand(program);
  const cases = commands.map(({ command, words }) => {
    const choices = [
      ...childrenOf(command).map((child) => child.name()),
      ...optionsOf(command).map(({ long }) => long),
    ];
    return `    '${words.join(' ')}') choices='${choices.join(' ')}' ;;`;
  });
  const known = commands
    .filter(({ words }) => words.length > 0)
    .map(({ words }) => `' ${words.join(' ')}'`)
    .join(' | ');
  const paths = [...longNames(commands, takesPath)].join(' | ');
  const values = [...longNames(commands, (option) => !isFlag(option) && !takesPath(option))];
  return `# bash completion for ${NAME}
_kopano_learnd() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} words='' word choices
  case $previous in
    ${paths}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    ${values.join(' | ')}) return ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$words $word" in
      ${known}) words="$words $word" ;;
    esac
  done
  case \${words# } in
${cases.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
  if ((\${#COMPREPLY[@]} == 0)); then mapfile -t COMPREPLY < <(compgen -f -- "$current"); fi
}
complete -o filenames -F _kopano_learnd ${NAME}
`;
}

function zshCompletion(program) {
  const functions = everyCommand(program).map(({ command, words }) => {
    const name = ['_kopano-learnd', ...words].join('-');
    const options = optionsOf(command).map((option) => {
      const value = isFlag(option) ? '' : `:value:${takesPath(option) ? '_files' : ' '}`;
      return `    ${quoted(`${option.long}[${option.description.replace(/[[\]:]/g, ' ')}]${value}`)}`;
    });
    const children = childrenOf(command);
    if (children.length === 0) {
      return `${name}() {\n  _arguments \\\n${[...options, "    '*:file:_files'"].join(' \\\n')}\n}`;
    }
    const described = children.map(
      (child) => `    ${quoted(`${child.name()}:${child.description()}`)}`,
    );
    return `${name}() {
  local state line
  local -a commands=(
${described.join('\n')}
  )
  _arguments -C \\
${[...options, "    '1:command:->command'", "    '*::argument:->argument'"].join(' \\\n')}
  case $state in
    command) _describe command commands ;;
    argument) (( $+functions[${name}-$line[1]] )) && ${name}-$line[1] ;;
  esac
}`;
  });
  return `#compdef ${NAME}\n\n${functions.join('\n\n')}\n\n_kopano-learnd "$@"\n`;
}

function fishCompletion(program) {
  const lines = everyCommand(program).flatMap(({ command, words }) => {
    const children = childrenOf(command).map((child) => child.name());
    const conditions = [
      ...words.map((word) => `__fish_seen_subcommand_from ${word}`),
      ...(children.length > 0 ? [`not __fish_seen_subcommand_from ${children.join(' ')}`] : []),
    ];
    const start = `complete -c ${NAME} -n ${quoted(conditions.join('; and ') || 'true')}`;
    return [
      ...childrenOf(command).map(
        (child) => `${start} -f -a ${child.name()} -d ${quoted(child.description())}`,
      ),
      ...optionsOf(command).map((option) => {
        const value = isFlag(option) ? '' : takesPath(option) ? ' -r -F' : ' -x';
        return `${start} -l ${option.long.slice(2)}${value} -d ${quoted(option.description)}`;
      }),
    ];
  });
  return `# fish completion for ${NAME}\n${lines.join('\n')}\n`;
}

/** The program and every command below it. */
function everyCommand(command, words = []) {
  return [
    { command, words },
    ...childrenOf(command).flatMap((child) => everyCommand(child, [...words, child.name()])),
  ];
}

function longNames(commands, matches) {
  return new Set(
    commands.flatMap(({ command }) =>
      optionsOf(command)
        .filter(matches)
        .map(({ long }) => long),
    ),
  );
}

/** One word of a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

if (process.argv[1] === import.meta.filename) {
  const [folder, date = new Date().toISOString().slice(0, 10)] = process.argv.slice(2);
  if (folder === undefined) {
    console.error('usage: node scripts/manual.mjs FOLDER [YYYY-MM-DD]');
    process.exit(64);
  }
  await writeManual(path.resolve(folder), date);
}
