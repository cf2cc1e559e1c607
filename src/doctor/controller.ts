import { setTimeout as sleep } from 'node:timers/promises';
import { faultOfVersion } from '../trainers/answers.ts';
import { connectionFault } from '../trainers/connection-faults.ts';
import type { Inquiry, Reply } from '../trainers/inquiry.ts';
import { NO_BACKEND, isStarting } from '../trainers/rspamd.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { Statistics } from '../trainers/trainer.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/**
 * One controller, asked what doesn't teach it anything: whether it is one, whether the password is
 * right for learning, whether Bayes has a backend that answers, and what time it is there.
 */
export interface ControllerFindings {
  readonly findings: readonly Finding[];
  /** What it said of Bayes. */
  readonly statistics?: Statistics;
}

export interface ControllerCheckOptions {
  readonly inquiry: Inquiry;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}

const CLOCK_NEAR_MS = 60_000;
const DAY_MS = 86_400_000;
/** By then a controller that has just started shows its backend. */
const STARTED_MS = 4_000;

const WRONG_PLACE =
  "correct host, port and path prefix in RSPAMD_URL: the controller's port is 11334 unless worker-controller.inc says otherwise";

export async function checkController(
  options: ControllerCheckOptions,
): Promise<ControllerFindings> {
  const { inquiry, wall } = options;
  const { name } = inquiry;
  const nothingMore = notTried(name, 'right to learn and Bayes: mend the above first');
  const ping = await inquiry.ping();
  const noPing = noAnswerOf(inquiry, ping) ?? checkPing(name, ping);
  if (noPing !== undefined) return { findings: [noPing, nothingMore] };
  const clock = checkClock(name, ping, wall);
  const stat = await askStatistics(inquiry);
  const { statistics } = stat;
  if (statistics === undefined) {
    const noStat = noAnswerOf(inquiry, stat) ?? noStatistics(inquiry, stat);
    return { findings: [noStat, clock, nothingMore] };
  }
  const learning = await inquiry.learnNothing();
  const history = await inquiry.history();
  return {
    findings: [
      ok(name, 'answers'),
      ...checkVersion(name, statistics),
      noAnswerOf(inquiry, learning) ?? checkRight(inquiry, learning),
      checkBayes(name, statistics, history),
      ...checkUsers(name, statistics),
      ...checkRedis(name, history),
      clock,
    ],
    statistics,
  };
}

/** What keeps a question from rspamd: the connection, or a proxy that answers by itself. */
function noAnswerOf(inquiry: Inquiry, reply: Reply): Finding | undefined {
  const { name } = inquiry;
  const { status, code = 'UNKNOWN', isProxys, meaning, reason } = reply;
  if (status === undefined) {
    const { says, cure } = connectionFault(code) ?? {
      says: `cannot be talked to (${code})`,
      cure: cureIn(reply, "is it an HTTP server at all? Correct RSPAMD_URL; look at rspamd's log"),
    };
    return failed(name, says, cure);
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

function checkPing(name: string, ping: Reply): Finding | undefined {
  if (ping.status === 200 && ping.text.startsWith('pong')) return undefined;
  const says = `what answers there is not rspamd's controller (${ping.reason})`;
  return failed(name, says, cureIn(ping, WRONG_PLACE));
}

async function askStatistics(inquiry: Inquiry): ReturnType<Inquiry['statistics']> {
  const first = await inquiry.statistics();
  if (first.statistics === undefined || !isStarting(first.statistics)) return first;
  await sleep(STARTED_MS);
  return inquiry.statistics();
}

function noStatistics({ name, hasPassword }: Inquiry, reply: Reply): Finding {
  const password = hasPassword ? 'refuses the password' : 'wants a password, and none is set';
  const says: Readonly<Record<number, string>> = {
    200: 'does not say what Bayes knows: its /stat is not that of rspamd',
    401: password,
    403: password,
    429: 'has locked this address out after too many wrong passwords',
  };
  const { status = 0, reason } = reply;
  const what = says[status] ?? 'does not answer as a controller';
  return failed(name, `${what} (${reason})`, cureIn(reply, WRONG_PLACE));
}

function checkVersion(name: string, { version }: Statistics): Finding[] {
  const fault = faultOfVersion(version);
  return fault === undefined ? [] : [warning(name, fault.does, fault.cure)];
}

/** An empty learning post: refused for want of a body by who would have been let in. */
function checkRight({ name, hasPassword }: Inquiry, reply: Reply): Finding {
  if (reply.status === 400 && reply.meaning.kind === 'rejected') {
    const whom = hasPassword ? 'this password learn' : 'this host learn without a password';
    return ok(name, `lets ${whom}`);
  }
  const isRefused = reply.status === 401 || reply.status === 403;
  return failed(
    name,
    isRefused
      ? 'accepts this password for looking, but not for learning: an enable_password is set'
      : `answers ${reply.reason} to a learning post`,
    cureIn(
      reply,
      "look at rspamd's log; a proxy in front of it must let POST /learnspam and /learnham pass",
    ),
  );
}

function checkBayes(name: string, { hasBackend, learned }: Statistics, history: Reply): Finding {
  const { spam, ham } = learned;
  const redisError = redisErrorIn(history);
  // rspamd 3.12 shows none where its Redis was down when it started.
  if (!hasBackend && redisError === undefined) {
    return failed(name, NO_BACKEND.reason, NO_BACKEND.hint);
  }
  const isUnknown = spam === undefined || ham === undefined;
  if (isUnknown || redisError !== undefined) {
    const wasSeen = hasBackend && isUnknown;
    const what = wasSeen ? 'is down or was within the last minute' : (redisError ?? '');
    return failed(
      name,
      `can't read what Bayes knows: its Redis ${what}`,
      "start Redis, or correct its address and password in rspamd's local.d/redis.conf; rspamd's log says more",
    );
  }
  const known = `Bayes knows ${spam} spam and ${ham} ham`;
  const short = [...(spam < MIN_LEARNS ? ['spam'] : []), ...(ham < MIN_LEARNS ? ['ham'] : [])];
  if (short.length === 0) return ok(name, known);
  return warning(
    name,
    `${known}: it gives no opinion before it has learned ${MIN_LEARNS} of each class (min_learns); ${short.join(' and ')} ${short.length === 1 ? 'is' : 'are'} short`,
    "let users judge more mail, teach it older mail with kopano-learnd relearn, or lower min_learns in rspamd's local.d/classifier-bayes.conf",
  );
}

/**
 * With `per_user` rspamd learns for the address that mail was delivered to. The daemon can't tell it
 * that, for kopano-spamd doesn't, and rspamd takes the first one in the To: header then (tried on 3.4
 * and 3.12.1).
 */
function checkUsers(name: string, { users = 0 }: Statistics): Finding[] {
  if (users < 2) return [];
  return [
    warning(
      name,
      `Bayes keeps a memory for each recipient (per_user), ${users} so far: a message counts for nobody but the first address in its To: header, and each memory needs its own ${MIN_LEARNS} of each class`,
      "set per_user = false in rspamd's override.d/classifier-bayes.conf (mlan/rspamd sets it to true), restart rspamd, then teach it the archive with kopano-learnd relearn; if that was done before, the memories of earlier are still counted and this can be ignored",
    ),
  ];
}

/** Where the history lies in memory it comes as an array, and tells nothing of Redis (tried on 3.4). */
function checkRedis(name: string, { status, text }: Reply): Finding[] {
  if (status === 504 || (status === 200 && text.startsWith('{'))) return [];
  const says = "Redis: whether it answers can't be seen, as rspamd's history doesn't lie there";
  return [notTried(name, says)];
}

/** `/stat` shows its last figures for as long as Redis is away; the history can't. */
function redisErrorIn({ reason }: Reply): string | undefined {
  const error = /^504 \{"error": "(.*)"\}$/.exec(reason)?.[1];
  return error === undefined ? undefined : `does not answer as it should (${error})`;
}

function checkClock(name: string, ping: Reply, wall: () => number): Finding {
  const time = Date.parse(ping.headers?.date ?? '');
  if (Number.isNaN(time)) return notTried(name, 'clock: it does not say what time it is');
  const skewMs = Math.abs(wall() - time);
  if (skewMs < CLOCK_NEAR_MS) return ok(name, 'clock agrees with this one');
  const says = `clock and this one are ${spanOf(skewMs)} apart`;
  return warning(
    name,
    skewMs > DAY_MS ? `${says}: nothing is removed from the archive meanwhile` : says,
    'set both by NTP (timedatectl set-ntp true, or chrony)',
  );
}

function spanOf(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.round(ms / DAY_MS)} days`;
  return ms >= 7_200_000
    ? `${Math.round(ms / 3_600_000)} hours`
    : `${Math.round(ms / 60_000)} minutes`;
}
