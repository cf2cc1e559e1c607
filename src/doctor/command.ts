import type { CommandOptions } from '../command-options.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode, OperatorError } from '../errors.ts';
import { FILTER_SETTINGS, FILTER_TITLES } from '../filter.ts';
import { isInstallCommand, likelyHost } from '../host.ts';
import { procFault } from '../spool/folder.ts';
import type { Folder } from '../spool/folder.ts';
import { askStatus } from '../status/ask.ts';
import { plural } from '../text.ts';
import { checkController } from './controller.ts';
import { checkDaemon } from './daemon.ts';
import { failed, isProblem, notTried, textOf } from './finding.ts';
import type { Case, Finding } from './finding.ts';
import { checkLearning } from './learning.ts';
import type { Known } from './learning.ts';
import { checkSettings, checkTaken } from './settings.ts';
import { checkSpamd } from './spamd.ts';
import { checkSpool, checkUser } from './spool.ts';
import { checkState } from './state.ts';
import { checkWatching } from './watching.ts';

/**
 * `kopano-learnd doctor`: tries everything that must work, asks the running daemon what it met, and says
 * of each fault what to do about it. Teaches rspamd nothing, and leaves nothing behind.
 */
interface DoctorOptions extends Omit<Case, 'daemon' | 'host'>, Pick<CommandOptions, 'out' | 'err'> {
  /** Why the daemon would not run, where root started both. */
  readonly refusal: OperatorError | undefined;
  /** One JSON object instead of a text. */
  readonly json: boolean;
  /** Shows what is well, too. */
  readonly all: boolean;
  /** How wide the text may be. */
  readonly columns: number;
}

/** @returns 1 when a check failed */
export async function doctor(options: DoctorOptions): Promise<ExitCode> {
  const { stop, json, all, columns, out, err } = options;
  const found: Finding[] = [];
  for await (const finding of findings(options)) {
    // What was cut short is no finding.
    if (stop.aborted) break;
    found.push(finding);
    // Problems come last: where the rest is shown they have to wait for it.
    if (!json && isProblem(finding) !== all) out(textOf(finding, columns));
  }
  const count = (state: Finding['state']): number =>
    found.filter((each) => each.state === state).length;
  if (json) out(`${JSON.stringify({ interrupted: stop.aborted, checks: found }, undefined, 2)}\n`);
  else if (all) for (const each of found.filter(isProblem)) out(textOf(each, columns));
  if (stop.aborted) {
    err('interrupted: not everything was tried\n');
    return EXIT.failure;
  }
  const rest = `${plural(count('ok'), 'check')} ok, ${count('not tried')} not tried`;
  const more = all || json ? '' : ' (--all shows them)';
  err(`${count('failed')} failed, ${plural(count('warning'), 'warning')}; ${rest}${more}\n`);
  return count('failed') > 0 ? EXIT.failure : EXIT.done;
}

async function* findings(options: DoctorOptions): AsyncGenerator<Finding> {
  const { config, environment, stop } = options;
  const daemon = await askStatus(config, stop);
  const host = daemon.kind === 'running' ? daemon.report.process.host : likelyHost(environment);
  for await (const finding of allChecks({ ...options, daemon, host }, options.refusal)) {
    yield host.kind === 'container' ? inContainer(finding) : finding;
  }
}

/** Whoever runs there mostly is not root, and has none of its rights; a program is the image's. */
function inContainer(finding: Finding): Finding {
  const { cure = '', command } = finding;
  if (command === undefined) return finding;
  const where = isInstallCommand(command)
    ? 'in its image; until that is built anew, as root in the container'
    : 'as root in the container, or on the host, where the volume may have another path';
  return { ...finding, cure: `${cure}; ${where}` };
}

async function* allChecks(given: Case, refusal?: OperatorError): AsyncGenerator<Finding> {
  if (!(yield* checkSettings(given))) return;
  const noProc = procFault();
  if (noProc !== undefined) {
    yield failed('/proc', noProc.message, noProc);
    yield notTried('all else', 'mend the above first');
    return;
  }
  const bars = settingsThatBar(given, SPOOL_SETTINGS);
  let isOwned = false;
  if (bars === undefined) {
    const isAtHome = yield* checkUser(given, refusal);
    // Nor can a stranger tell that no daemon owns it.
    isOwned = !isAtHome || (yield* checkFolders(given));
    yield* checkWatching(given);
  } else yield notTried('spool', bars);
  const { names, known } = yield* checkFilters(given);
  // The cures of what comes first are pasted first: the daemon is started after them.
  yield* checkTaken(given);
  yield* checkDaemon(given, isOwned);
  yield* checkLearning(given, names, known);
}

/** The filters that are taught. @returns those that could be asked, and what the controllers said */
async function* checkFilters(given: Case) {
  const { spamd, rspamd, trainers } = given.config;
  const names: string[] = [];
  const known: Known[] = [];
  for (const filter of trainers) {
    const bars = settingsThatBar(given, FILTER_SETTINGS[filter]);
    if (bars !== undefined) yield notTried(FILTER_TITLES[filter], bars);
    else if (filter === 'spamassassin') {
      names.push(spamd.address.name);
      yield* checkSpamd(given);
    } else {
      for (const controller of rspamd.controllers) {
        names.push(controller.name);
        known.push({ controller, statistics: yield* checkController(controller, given) });
      }
    }
  }
  return { names, known };
}

const SPOOL_SETTINGS = /^(KOPANO_SPAMD_LIB|LEARN_STATE_DIR)$/;

/** Why something is not tried: nothing is judged by the default of a setting that is wrong. */
function settingsThatBar({ faults }: Case, names: RegExp): string | undefined {
  const wrong = faults.flatMap((fault) => fault.names ?? []).filter((name) => names.test(name));
  return wrong.length === 0 ? undefined : `correct ${[...new Set(wrong)].join(' and ')} first`;
}

/** @returns whether some daemon owns the spool, though none answers */
async function* checkFolders(given: Case): AsyncGenerator<Finding, boolean> {
  const { libDir, stateDir } = given.config.spool;
  const folders: Folder[] = [];
  try {
    const isReachable = yield* checkSpool(given, folders);
    if (!isReachable && stateDir.startsWith(`${libDir}/`)) {
      yield notTried('state dir', `${stateDir}: mend the spool first`);
      return false;
    }
    const found = await checkState(given, folders);
    yield* found;
    return found.some((finding) => finding.check === 'owner' && isProblem(finding));
  } finally {
    for (const folder of folders) folder.close();
  }
}
