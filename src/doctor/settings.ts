import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import { readText, restartCommand, startCommand } from '../host.ts';
import { SETTINGS_FILE } from '../settings-file.ts';
import { unknownText } from '../settings.ts';
import { clean, inShell } from '../text.ts';
import { failed, joined, notTried, ok, warning } from './finding.ts';
import type { Case, Finding } from './finding.ts';

/** The settings: what is wrong with them, and whether the running daemon has the same. */
const check = 'settings';

type SettingsCase = Pick<Case, 'config' | 'faults' | 'environment' | 'daemon' | 'host'>;

/** @returns false where the settings are not known, so that nothing can be judged by them */
export function* checkSettings(given: SettingsCase): Generator<Finding, boolean> {
  const { config, faults } = given;
  const restart = restartAfter(given);
  const last = faults.findLastIndex(({ command }) => command !== undefined);
  for (const [index, { says, where, command }] of faults.entries()) {
    yield failed(check, says, {
      hint: `correct it${where === undefined ? '' : ` in ${where}`}; the daemon does not start with it`,
      command: command && joined(command, index === last ? restart : undefined),
    });
  }
  for (const unknown of config.unknown) {
    yield failed(
      check,
      `${unknownText(unknown)} (in the environment)`,
      'correct the name where it is set, or take it away',
    );
  }
  if (faults.length + config.unknown.length === 0) {
    yield ok(check, `come from the environment${config.file ? ` and ${config.file}` : ''}`);
  }
  if (!config.isFileClosed) return true;
  yield notTried('all else', 'what the settings file says is not known: mend it first');
  return false;
}

/** What has the daemon take the settings when they are mended. */
function restartAfter({ config, daemon, host }: SettingsCase): string | undefined {
  if (daemon.kind === 'running') return restartCommand(host);
  // Else one that is down is started by a cure of its own, when all else is mended.
  return config.isFileClosed ? startCommand(host) : undefined;
}

/** The daemon was started with other settings than this command reads, where all of these are right. */
export function* checkTaken(given: SettingsCase): Generator<Finding> {
  const { config, faults, environment, daemon, host } = given;
  if (daemon.kind !== 'running' || faults.length + config.unknown.length > 0) return;
  const { report } = daemon;
  const { spool, rspamd, spamd, trainers } = config;
  /** Where the daemon teaches a filter; as this command where it teaches it nowhere. */
  const theirs = (filter: Filter, ours: string): string =>
    report.trainers.find(({ trainer }) => trainer === filter)?.controllers.join(',') ?? ours;
  const urls = rspamd.controllers.map(({ name }) => name).join(',');
  const spamdUrl = spamd.address.name;
  const theirTrainers = report.trainers.map(({ trainer }) => trainer);
  const pairs = [
    ['KOPANO_SPAMD_LIB', report.spool, spool.libDir],
    ['LEARN_STATE_DIR', report.stateDir, spool.stateDir],
    ['LEARN_AFTER', report.process.after, spool.after],
    ['LEARN_TRAINERS', theirTrainers.join(','), trainers.join(',')],
    ['RSPAMD_URL', theirs('rspamd', urls), urls],
    ['SPAMD_URL', theirs('spamassassin', spamdUrl), spamdUrl],
  ] as const;
  for (const [name, has, ours] of pairs) {
    if (has === ours) continue;
    // What follows from another spool is no fault of its own.
    const isOfSpool = name === 'LEARN_STATE_DIR' && has === `${report.spool}/.learnd`;
    if (isOfSpool && report.spool !== spool.libDir) continue;
    const says = `the running daemon has ${name}=${clean(has)}, and this command ${clean(ours)}`;
    const isOurs = isInFile(config, name) && (environment[name] ?? '') === '';
    const cure = isOurs
      ? {
          hint: `restart the daemon, if ${name} was changed in the file since its start; if its own environment sets it, take it away there`,
          command: restartCommand(host),
        }
      : {
          hint: 'write it into /etc/kopano-learnd.conf, which every command reads, and restart the daemon',
          command: settingCommand(given, name, has),
        };
    yield warning(check, says, cure);
  }
}

/**
 * The command that writes a setting into the settings file, and has the daemon take it.
 * @returns `undefined` where this command's own environment sets it, which wins
 */
export function settingCommand(
  given: Pick<Case, 'environment' | 'host'> & { readonly config: Pick<Config, 'file'> },
  name: string,
  value: string,
): string | undefined {
  const { config, environment, host } = given;
  if ((environment[name] ?? '') !== '' || host.kind === 'container') return undefined;
  // A command must write what is meant, to the letter.
  if (clean(value, Infinity) !== value) return undefined;
  const { file = SETTINGS_FILE } = config;
  const line = `${name}=${value}`;
  const write = isInFile(config, name)
    ? `sed -i ${inShell(`s|^\\s*${name}=.*|${line.replace(/[\\&|]/g, '\\$&')}|`)} ${inShell(file)}`
    : `${echoing(line, readText(file))} >>${inShell(file)}`;
  return joined(write, restartCommand(host));
}

/** What prints a line behind a text. */
function echoing(line: string, before: string): string {
  const isWhole = before === '' || before.endsWith('\n');
  // dash's echo takes \1 for a character
  if (isWhole && !line.includes('\\')) return `echo ${inShell(line)}`;
  return `printf '${isWhole ? '' : '\\n'}%s\\n' ${inShell(line)}`;
}

function isInFile({ file = SETTINGS_FILE }: Pick<Config, 'file'>, name: string): boolean {
  return new RegExp(`^\\s*${name}=`, 'm').test(readText(file));
}
