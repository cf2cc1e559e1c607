import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode, OperatorError, SettingFault } from '../errors.ts';
import { FILTER_TITLES } from '../filter.ts';
import type { Filter } from '../filter.ts';
import { isInstallCommand, likelyHost, plainName } from '../host.ts';
import type { Host } from '../host.ts';
import type { SpamdAddress } from '../spamd-address.ts';
import { procFault } from '../spool/folder.ts';
import type { Folder } from '../spool/folder.ts';
import { askStatus } from '../status/ask.ts';
import type { DaemonAnswer } from '../status/ask.ts';
import { plural } from '../text.ts';
import { Inquiry } from '../trainers/inquiry.ts';
import { createSpamAssassin } from '../trainers/create.ts';
import { checkController } from './controller.ts';
import { checkDaemon } from './daemon.ts';
import { cureIn, failed, notTried, textOf } from './finding.ts';
import type { Finding } from './finding.ts';
import { checkLearning } from './learning.ts';
import type { Known } from './learning.ts';
import type { Account } from './machine.ts';
import { checkReporting } from './razor.ts';
import { checkSettings, checkTaken } from './settings.ts';
import { checkSpamd } from './spamd.ts';
import { checkSpool } from './spool.ts';
import { checkState } from './state.ts';
import { checkUser } from './user.ts';
import { checkWatching } from './watching.ts';

/**
 * `kopano-learnd doctor`: tries everything that must work, asks the running daemon what it met, and says
 * of each fault what to do about it. Teaches rspamd nothing, and leaves nothing behind.
 */
export interface DoctorOptions {
  readonly config: Config;
  /** What is wrong with the settings; the others, and defaults for these, are in `config`. */
  readonly faults: readonly SettingFault[];
  /** Whom this process runs as. */
  readonly identity: Account;
  /** Why the daemon would not run, where root started both. */
  readonly refusal: OperatorError | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stop: AbortSignal;
  /** One JSON object instead of a text. */
  readonly json: boolean;
  /** Shows what is well, too. */
  readonly all: boolean;
  /** How wide the text may be. */
  readonly columns: number;
  readonly out: (text: string) => void;
  /** The sum of it. */
  readonly err: (text: string) => void;
}

const PROBLEMS: ReadonlySet<Finding['state']> = new Set(['warning', 'failed']);

/** @returns 1 when a check failed */
export async function doctor(options: DoctorOptions): Promise<ExitCode> {
  const { stop, json, all, columns, out, err } = options;
  const found: Finding[] = [];
  for await (const finding of findings(options)) {
    // What was cut short is no finding.
    if (stop.aborted) break;
    found.push(finding);
    const isProblem = PROBLEMS.has(finding.state);
    // Problems come last: where the rest is shown they have to wait for it.
    if (!json && isProblem !== all) out(textOf(finding, columns));
  }
  const count = (state: Finding['state']): number =>
    found.filter((each) => each.state === state).length;
  if (json) out(`${JSON.stringify({ interrupted: stop.aborted, checks: found }, undefined, 2)}\n`);
  else if (all) {
    for (const each of found) if (PROBLEMS.has(each.state)) out(textOf(each, columns));
  }
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
  const noProc = procFault();
  if (noProc !== undefined) {
    yield* checkSettings({
      ...options,
      daemon: { kind: 'off', reason: 'no /proc' },
      host: { kind: 'other' },
    });
    yield failed('/proc', noProc.message, cureIn(noProc));
    yield notTried('all else', 'mend the above first');
    return;
  }
  const daemon = await askStatus(config, stop);
  const host = daemon.kind === 'running' ? daemon.report.process.host : likelyHost(environment);
  for await (const finding of allChecks(options, daemon, host)) {
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

async function* allChecks(
  options: DoctorOptions,
  daemon: DaemonAnswer,
  host: Host,
): AsyncGenerator<Finding> {
  const { config, identity } = options;
  const { libDir, stateDir, polling } = config.spool;
  if (!(yield* checkSettings({ ...options, daemon, host }))) return;
  const bars = settingsThatBar(options, SPOOL_SETTINGS);
  let isOwned = false;
  if (bars === undefined) {
    const isAtHome = yield* checkUser(config.spool, identity, options.refusal);
    // Nor can a stranger tell that no daemon owns it.
    isOwned = !isAtHome || (yield* checkFolders(options, daemon, host));
    yield* checkWatching(libDir, polling, host);
  } else yield notTried('spool', bars);
  const { known, spamds } = yield* checkFilters(options, host);
  // The cures of what comes first are pasted first: the daemon is started after them.
  yield* checkTaken({ ...options, daemon, host });
  yield* checkDaemon({ libDir, account: identity, daemon, host, isOwned });
  yield* checkLearning(known, spamds, daemon, stateDir);
}

/** The filters that are taught. @returns those that could be asked */
async function* checkFilters(options: DoctorOptions, host: Host) {
  const { config, environment, stop } = options;
  const { spamd, rspamd, trainers } = config;
  const known: Known[] = [];
  const spamds: SpamdAddress[] = [];
  for (const filter of trainers) {
    const bars = settingsThatBar(options, FILTER_SETTINGS[filter]);
    if (bars !== undefined) yield notTried(FILTER_TITLES[filter], bars);
    else if (filter === 'spamassassin') {
      spamds.push(spamd.address);
      const me = plainName('uid', options.identity.uid);
      const trainer = createSpamAssassin(spamd);
      yield* checkSpamd({ trainer, spamd, me, environment, signal: stop });
      yield* checkReporting(spamd, environment['PATH']);
    } else {
      for (const controller of rspamd.controllers) {
        const inquiry = new Inquiry({ ...rspamd, controller, signal: stop });
        const here = { controller, config, environment, host };
        known.push({ controller, statistics: yield* checkController(inquiry, here) });
      }
    }
  }
  return { known, spamds };
}

const SPOOL_SETTINGS = ['KOPANO_SPAMD_LIB', 'LEARN_STATE_DIR'];
const FILTER_SETTINGS: Readonly<Record<Filter, readonly string[]>> = {
  rspamd: [
    'LEARN_TRAINERS',
    'RSPAMD_URL',
    'RSPAMD_CA_FILE',
    'RSPAMD_PASSWORD',
    'RSPAMD_PASSWORD_FILE',
  ],
  spamassassin: ['LEARN_TRAINERS', 'SPAMD_URL', 'SPAMD_CA_FILE', 'SPAMD_USER'],
};

/** Why something is not tried: nothing is judged by the default of a setting that is wrong. */
function settingsThatBar({ faults }: DoctorOptions, names: readonly string[]): string | undefined {
  const wrong = faults.flatMap((fault) => fault.names ?? []).filter((name) => names.includes(name));
  return wrong.length === 0 ? undefined : `correct ${[...new Set(wrong)].join(' and ')} first`;
}

/** @returns whether some daemon owns the spool, though none answers */
async function* checkFolders(
  { config, identity }: DoctorOptions,
  daemon: DaemonAnswer,
  host: Host,
): AsyncGenerator<Finding, boolean> {
  const { libDir, stateDir, verdicts } = config.spool;
  const folders: Folder[] = [];
  try {
    const isReachable = yield* checkSpool({
      libDir,
      verdicts,
      account: identity,
      host,
      opened: folders,
    });
    if (!isReachable && stateDir.startsWith(`${libDir}/`)) {
      yield notTried('state dir', `${stateDir}: mend the spool first`);
      return false;
    }
    const found = await checkState({ ...config.spool, folders, account: identity, daemon, host });
    yield* found;
    return found.some(({ check, state }) => check === 'owner' && PROBLEMS.has(state));
  } finally {
    for (const folder of folders) folder.close();
  }
}
