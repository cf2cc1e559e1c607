import type { ControllerAddress } from '../config.ts';
import type { FuzzyFlags } from '../fuzzy-flags.ts';
import { NO_CLUSTER, faultOfVersion, isOfCluster } from '../trainers/answers.ts';
import { connectionFault } from '../trainers/connection-faults.ts';
import { START_STORAGE } from '../trainers/fuzzy.ts';
import { Inquiry } from '../trainers/inquiry.ts';
import type { Reply } from '../trainers/inquiry.ts';
import { NO_BACKEND, isStarting } from '../trainers/rspamd.ts';
import { coldStart } from '../status/words.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { Outcome, Statistics } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Case, Finding } from './finding.ts';
import { giveRedis, startOrFind, startRedis } from './machine.ts';

/**
 * One controller, asked what doesn't teach it anything: whether it is one, whether the password is
 * right for learning, whether Bayes has a backend that answers, and what time it is there.
 */
const CLOCK_NEAR_MS = 60_000;
const HOUR_MS = 3_600_000;

const WRONG_PLACE =
  "correct host, port and path prefix in RSPAMD_URL: the controller's port is 11334 unless worker-controller.inc says otherwise";

/** Seen on 4.1.5 (findings/rspamd-4.1-classes-by-name-weaken-bayes.sh). */
const NAMED_CLASSES =
  'the classes of Bayes have names, and so rspamd 4.1 says 90 % of most that it is wholly sure of, which is a sixth of the score, and up to 100 % where as much speaks for spam as for ham';
const LEAVE_NAMES_OUT =
  "unless further classes are needed (LEARN_CLASSES), take all statfiles out of rspamd's local.d/classifier-bayes.conf and restart it: the package's own take their place, with all that was learned";

/** A controller, and what puts the questions to it. */
interface AskedController extends Case {
  readonly controller: ControllerAddress;
  readonly inquiry: Inquiry;
}

/** @returns what it said of Bayes */
export async function* checkController(
  controller: ControllerAddress,
  given: Case,
): AsyncGenerator<Finding, Statistics | undefined> {
  const { rspamd, spool } = given.config;
  const { name } = controller;
  const inquiry = new Inquiry({ ...rspamd, controller, signal: given.stop });
  const asked = { ...given, controller, inquiry };
  const ping = await inquiry.ping();
  const isPong = ping.status === 200 && ping.text.startsWith('pong');
  const stat = isPong ? await inquiry.statistics() : undefined;
  if (stat?.statistics === undefined) {
    yield noAnswerOf(stat ?? ping, asked) ?? noController(inquiry, ping, stat);
    yield notTried(name, 'right to learn and Bayes: mend the above first');
    return undefined;
  }
  const { statistics } = stat;
  yield ok(name, 'answers');
  const fault = faultOfVersion(statistics.version);
  if (fault !== undefined) yield warning(name, fault.does, fault.cure);
  const learning = await inquiry.learnNothing();
  const right = noAnswerOf(learning, asked) ?? checkRight(inquiry, learning);
  yield right;
  yield checkBayes(statistics, await inquiry.history(), asked);
  if (right.state === 'ok') {
    const further = spool.verdicts.filter((verdict) => !VERDICTS.some((each) => each === verdict));
    for (const verdict of further) yield await checkClass(inquiry, verdict);
    if (rspamd.fuzzy !== undefined) yield await checkFuzzy(inquiry, rspamd.fuzzy, statistics);
  }
  if (statistics.hasNamedClasses === true) yield warning(name, NAMED_CLASSES, LEAVE_NAMES_OUT);
  const { users = 0 } = statistics;
  if (users > 1) yield manyMemories(name, users, given);
  yield checkClock(name, ping);
  return statistics;
}

/** What keeps a question from rspamd: the connection, or a proxy that answers by itself. */
function noAnswerOf(reply: Reply, asked: AskedController): Finding | undefined {
  const { controller, inquiry } = asked;
  const { name } = inquiry;
  const { status, code = 'UNKNOWN', isProxys, meaning, reason } = reply;
  if (status === undefined) {
    const { says, cure } = connectionFault(code) ?? {
      says: `cannot be talked to (${code})`,
      cure: cureIn(reply, "is it an HTTP server at all? Correct RSPAMD_URL; look at rspamd's log"),
    };
    const isShut = code === 'ECONNREFUSED' || code === 'ENOENT';
    return failed(name, says, {
      hint: code === 'ECONNRESET' ? `${cure}; or ${WRONG_PLACE}` : cure,
      command: isShut ? startOrFind(controller, asked) : undefined,
    });
  }
  // Learning goes on, slowly.
  if (isProxys && meaning.kind === 'unavailable') {
    return warning(name, meaning.reason, meaning.limit?.hint ?? '');
  }
  if (isProxys && 'hint' in meaning) return failed(name, meaning.reason, meaning.hint);
  if (status < 502 || status > 504) return undefined;
  return failed(
    name,
    `a proxy answers there, and rspamd behind it does not (${reason})`,
    "start rspamd, or correct what the proxy's configuration says of it (its upstream)",
  );
}

/** The cure that the log has for this answer, else another one. */
function cureIn({ meaning }: Reply, otherwise: string): string {
  return meaning.kind === 'misconfigured' ? meaning.hint : otherwise;
}

/** What is wrong with an answer to /ping, or with that to /stat where /ping was answered well. */
function noController({ name, hasPassword }: Inquiry, ping: Reply, stat?: Reply): Finding {
  const cure = cureIn(stat ?? ping, WRONG_PLACE);
  if (stat === undefined) {
    return failed(name, `what answers there is not rspamd's controller (${ping.reason})`, cure);
  }
  const password = hasPassword ? 'refuses the password' : 'wants a password, and none is set';
  const says: Readonly<Record<number, string>> = {
    200: 'does not say what Bayes knows: its /stat is not that of rspamd',
    401: password,
    403: password,
    429: 'has locked this address out after too many wrong passwords',
  };
  const what = says[stat.status ?? 0] ?? 'does not answer as a controller';
  return failed(name, `${what} (${stat.reason})`, cure);
}

/** An empty learning post: refused for want of a body by who would have been let in. */
function checkRight({ name, hasPassword }: Inquiry, reply: Reply): Finding {
  if (reply.status === 400 && reply.meaning.kind === 'rejected') {
    const whom = hasPassword ? 'this password learn' : 'this host learn without a password';
    return ok(name, `lets ${whom}`);
  }
  const isRefused = reply.status === 401 || reply.status === 403;
  const says = isRefused
    ? 'accepts this password for looking, but not for learning: an enable_password is set'
    : `answers ${reply.reason} to a learning post`;
  const pass =
    "look at rspamd's log; a proxy in front of it must let POST /learnspam and /learnham pass";
  return failed(name, says, cureIn(reply, pass));
}

function checkBayes(
  statistics: Statistics,
  history: Reply,
  { controller, environment }: AskedController,
): Finding {
  const { name } = controller;
  const { hasBackend, learned } = statistics;
  const { spam, ham } = learned;
  if (isStarting(statistics)) return notTried(name, 'Bayes: rspamd has just started, ask again');
  // /stat shows its last figures for as long as Redis is away; the history can't.
  const redisError = /^504 \{"error": "(.*)"\}$/.exec(history.reason)?.[1];
  // rspamd 3.12 shows no backend where its Redis was down when it started.
  if (!hasBackend && redisError === undefined) {
    const { reason, hint } = NO_BACKEND;
    return failed(name, reason, { hint, command: giveRedis(controller, environment) });
  }
  if (redisError !== undefined && isOfCluster(redisError)) {
    return failed(name, `its Redis is a cluster (${redisError})`, NO_CLUSTER);
  }
  if (spam === undefined || ham === undefined || redisError !== undefined) {
    const what =
      redisError === undefined
        ? 'is down or was within the last minute'
        : `does not answer as it should (${redisError})`;
    return failed(name, `can't read what Bayes knows: its Redis ${what}`, {
      hint: "start Redis, or correct its address and password in rspamd's local.d/redis.conf; rspamd's log says more",
      command: startRedis(controller, environment),
    });
  }
  const cold = coldStart(learned);
  if (cold === undefined) return ok(name, `Bayes knows ${spam} spam and ${ham} ham`);
  return warning(name, cold.says, cold.cures.join('; '));
}

async function checkClass(inquiry: Inquiry, verdict: Verdict): Promise<Finding> {
  const { name } = inquiry;
  const fault = await inquiry.classFault(verdict);
  return fault === undefined ? ok(name, `learns the class ${verdict}`) : told(name, fault);
}

/** What keeps a message from being learned. */
function told(name: string, fault: Outcome, otherwise = "look at rspamd's log"): Finding {
  const reason = 'reason' in fault ? fault.reason : 'was not asked to the end';
  return failed(name, reason, ('hint' in fault ? fault.hint : undefined) ?? otherwise);
}

/** Whether messages can be added to the lists that RSPAMD_FUZZY_FLAGS names, and deleted from them. */
async function checkFuzzy(
  inquiry: Inquiry,
  fuzzy: FuzzyFlags,
  statistics: Statistics,
): Promise<Finding> {
  const { name } = inquiry;
  const flags = [...fuzzy.values()].map(({ flag }) => flag);
  for (const flag of flags) {
    const fault = await inquiry.fuzzyFault(flag);
    if (fault !== undefined) return told(name, fault, START_STORAGE);
  }
  // 4.1.5 never tells.
  const { version = '', hasFuzzyStorage } = statistics;
  if (version.startsWith('3.4') && hasFuzzyStorage !== true) {
    return failed(name, 'its fuzzy storage does not answer', START_STORAGE);
  }
  return ok(name, `its fuzzy storage has a list with flag ${flags.join(' and ')}`);
}

/**
 * With `per_user` rspamd learns for the address that mail was delivered to. kopano-spamd tells nobody
 * whose message it is, and rspamd takes the first one in the To: header then (tried on 3.4 and 3.12.1),
 * unless a header field says it.
 */
function manyMemories(name: string, users: number, { config }: Case): Finding {
  const memories = `Bayes keeps a memory for each recipient (per_user), ${users} so far`;
  const fields = config.learning.userFields.join(', ');
  if (fields !== '') return ok(name, `${memories}; ${fields} says whose message it is`);
  return warning(
    name,
    `${memories}: a message counts for nobody but the first address in its To: header, and each memory needs its own ${MIN_LEARNS} of each class`,
    "name the header field that says whose a message is in LEARN_USER_HEADER; or set per_user = false in rspamd's override.d/classifier-bayes.conf (mlan/rspamd sets it to true), restart rspamd, then teach it the archive with kopano-learnd relearn; if that was done before, the memories of earlier are still counted and this can be ignored",
  );
}

function checkClock(name: string, ping: Reply): Finding {
  const skewMs = Math.abs(Date.now() - Date.parse(ping.headers?.date ?? ''));
  if (Number.isNaN(skewMs)) return notTried(name, 'clock: it does not say what time it is');
  if (skewMs < CLOCK_NEAR_MS) return ok(name, 'clock agrees with this one');
  const [unitMs, unit] = skewMs < 2 * HOUR_MS ? [60_000, 'minutes'] : [HOUR_MS, 'hours'];
  const effect = skewMs > 24 * HOUR_MS ? ': nothing is removed from the archive meanwhile' : '';
  const says = `clock and this one are ${Math.round(skewMs / unitMs)} ${unit} apart${effect}`;
  return warning(name, says, 'set both by NTP (timedatectl set-ntp true, or chrony)');
}
