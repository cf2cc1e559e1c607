import type { ControllerAddress } from '../config.ts';
import { teachAgain } from '../spool/archive.ts';
import type { ControllerReport } from '../status/reports.ts';
import { clean, plural } from '../text.ts';
import type { Statistics } from '../trainers/trainer.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Case, Finding } from './finding.ts';
import { controllerProcesses, isHere } from './machine.ts';

/**
 * What only learning shows: whether a controller remembers, whether all of them have one memory, and
 * whether the daemon met errors of its own. The doctor doesn't learn; it asks the daemon that does,
 * and looks at what is in plain sight.
 */
export interface Known {
  readonly controller: ControllerAddress;
  /** What /stat said just now. */
  readonly statistics: Statistics | undefined;
}

/** @param names of all that is taught, the controllers' included */
export function checkLearning(
  given: Case,
  names: readonly string[],
  known: readonly Known[],
): Finding[] {
  return [
    ...names.map((name) => checkProof(name, given)),
    ...(known.length === 0 ? [] : [checkSharing(known)]),
    ...known.map(({ controller }) => checkCount(controller)),
    checkBugs(given),
  ];
}

function checkProof(name: string, { config, daemon }: Case): Finding {
  if (daemon.kind !== 'running') {
    const says = `whether ${name} remembers what it learns shows a running daemon`;
    return notTried('proof', `${says}; ${daemon.reason}`);
  }
  const reported = daemon.report.controllers.find((each) => each.name === name);
  return reported === undefined
    ? notTried(
        'proof',
        `the running daemon doesn't know ${name}: it has another RSPAMD_URL, SPAMD_URL or LEARN_TRAINERS`,
      )
    : judgeProof(reported, config.spool.stateDir);
}

const MEND_ABOVE = "mend what the lines above name, or look at spamd's log";

function judgeProof(
  { name, trainer, state, reason, forgot, proven }: ControllerReport,
  stateDir: string,
): Finding {
  const check = 'proof';
  if (state === 'unproven') {
    if (trainer !== 'rspamd') {
      return failed(check, `${name} says that it learns, and remembers nothing of it`, MEND_ABOVE);
    }
    return failed(
      check,
      `${name} answers 200 to what it is taught, and remembers nothing of it`,
      "look at rspamd's Redis: full (maxmemory), read-only, hung or unreachable, and at rspamd's log; if the controller has count above 1 in local.d/worker-controller.inc, set count = 1",
    );
  }
  if (state === 'misconfigured' || state === 'down') {
    return failed(
      check,
      `${name} can't learn, says the running daemon: ${clean(reason ?? 'the daemon does not say why')}`,
      trainer === 'rspamd'
        ? "mend what the lines above name, or look at rspamd's log and at its Redis"
        : MEND_ABOVE,
    );
  }
  if (forgot !== null) {
    return warning(
      check,
      `${name} has forgotten ${plural(forgot.missing, 'learned message')}`,
      `look at the persistence (save, appendonly) and the memory limit of rspamd's Redis; ${teachAgain(stateDir)}`,
    );
  }
  return proven
    ? ok(check, `${name} has learned and remembered since the daemon's start`)
    : notTried(check, `nothing was learned by ${name} since the daemon's start`);
}

/** Two that count differently don't share a Redis. */
function checkSharing(known: readonly Known[]): Finding {
  const check = 'one memory';
  if (known.length === 1) return ok(check, 'there is one controller');
  const counts = known.flatMap(({ controller: { name }, statistics }) => {
    const { spam, ham } = statistics?.learned ?? {};
    return spam === undefined || ham === undefined ? [] : [{ name, spam, ham }];
  });
  const [first] = counts;
  if (first === undefined || counts.length < known.length) {
    return notTried(check, 'not every controller says what it has learned');
  }
  const other = counts.find(({ spam, ham }) => differ(spam, first.spam) || differ(ham, first.ham));
  if (other !== undefined) {
    return failed(
      check,
      `${first.name} has learned ${first.spam} spam and ${first.ham} ham, ${other.name} ${other.spam} and ${other.ham}: they don't share one Redis`,
      "give all of them the same servers (and db, and prefix) in rspamd's local.d/redis.conf, or name only one in RSPAMD_URL; these figures are up to a minute old, so ask again when much is just being learned",
    );
  }
  // The daemon gives each its share: two memories of their own grow alike, but not to the same figures.
  const isSame = counts.every(({ spam, ham }) => spam === first.spam && ham === first.ham);
  if (isSame && first.spam + first.ham > 0)
    return ok(check, 'all controllers have learned the same');
  return notTried(
    check,
    'the controllers have learned almost the same, or nothing; ask again when nothing has been learned for a minute',
  );
}

function differ(a: number, b: number): boolean {
  return Math.abs(a - b) > Math.max(10, Math.max(a, b) / 50);
}

/**
 * Several processes of one controller recognise less of each other's messages. They show in the list
 * of processes where rspamd runs on this machine; otherwise nobody tells.
 */
function checkCount(controller: ControllerAddress): Finding {
  const check = 'count';
  const { name } = controller;
  const running = isHere(controller) ? controllerProcesses(controller) : 0;
  if (running === 0) {
    return notTried(
      check,
      `whether ${name} runs as one process (count = 1) can't be seen from here`,
    );
  }
  if (running === 1) return ok(check, `${name} is one process`);
  return warning(
    check,
    `${name} runs as ${running} processes: each one recognises less of what the others have learned, so that messages are learned twice or wait for a proof`,
    "set count = 1 in rspamd's local.d/worker-controller.inc",
  );
}

/** Whether the running daemon met errors of its own. */
function checkBugs({ daemon }: Case): Finding {
  const check = 'bugs';
  if (daemon.kind !== 'running') {
    const says = 'whether it met errors of its own shows a running daemon';
    return notTried(check, `${says}; ${daemon.reason}`);
  }
  const { count, last } = daemon.report.bugs;
  if (last === null) return ok(check, 'the daemon has met no error of its own since its start');
  return warning(
    check,
    `the running daemon has met ${plural(count, 'error')} of its own, the last at ${clean(last.at)} (${clean(last.where)}): ${clean(last.error)}`,
    'report it with its line daemon.bug in the log; what met it stays and is tried again',
  );
}
