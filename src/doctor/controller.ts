import { setTimeout as sleep } from 'node:timers/promises';
import type { Inquiry, Reply } from '../trainers/inquiry.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { Statistics } from '../trainers/trainer.ts';
import { faultOfVersion } from '../trainers/versions.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { unreachable } from './unreachable.ts';

/**
 * One controller, asked what doesn't teach it anything: whether it is one, whether the password is
 * right for learning, whether Bayes has a backend that answers, and what time it is there.
 */
export interface ControllerReport {
  readonly findings: readonly Finding[];
  /** What it said of Bayes. */
  readonly statistics?: Statistics;
}

export interface ControllerCheckOptions {
  readonly inquiry: Inquiry;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  /** LEARN_MAX_BYTES. */
  readonly maxBytes: number;
}

const CLOCK_NEAR_MS = 60_000;
const DAY_MS = 86_400_000;
/** rspamd shows empty `statfiles` in the first moments after its start, whatever its backend. */
const STARTING_SECONDS = 3;
const STARTED_MS = 4_000;

export async function checkController(options: ControllerCheckOptions): Promise<ControllerReport> {
  const { inquiry, wall, maxBytes } = options;
  const { name } = inquiry;
  const ping = await inquiry.ping();
  if (ping.status === undefined) {
    return { findings: [unreachable(inquiry, ping), ...nothingMore(name)] };
  }
  const byProxy = proxyFinding(name, ping);
  if (byProxy !== undefined) return { findings: [byProxy, ...nothingMore(name)] };
  if (ping.status !== 200 || !ping.text.startsWith('pong')) {
    const says = `what answers there is not rspamd's controller (${ping.reason})`;
    return { findings: [failed(name, says, cureOf(ping) ?? WRONG_PLACE), ...nothingMore(name)] };
  }
  const stat = await askStatistics(inquiry);
  if (stat.statistics === undefined) {
    return {
      findings: [noStatistics(inquiry, stat), checkClock(name, ping, wall), ...nothingMore(name)],
    };
  }
  const learning = await inquiry.learnNothing();
  const history = await inquiry.history();
  return {
    findings: [
      ok(name, 'answers'),
      ...checkVersion(name, stat.statistics),
      checkRight(inquiry, learning),
      // Where rspamd's own name comes through nothing is in front of it.
      ...(ping.isRspamds ? [] : await checkSize(inquiry, maxBytes)),
      checkBayes(name, stat.statistics, history),
      ...checkUsers(name, stat.statistics),
      ...checkRedis(name, history),
      checkClock(name, ping, wall),
    ],
    statistics: stat.statistics,
  };
}

const WRONG_PLACE =
  "correct host, port and path prefix in RSPAMD_URL: the controller's port is 11334 unless worker-controller.inc says otherwise";

function nothingMore(name: string): Finding[] {
  return [notTried(name, 'right to learn and Bayes: mend the above first')];
}

async function askStatistics(
  inquiry: Inquiry,
): Promise<Awaited<ReturnType<Inquiry['statistics']>>> {
  const first = await inquiry.statistics();
  const { hasBackend = true, uptimeSeconds = Infinity } = first.statistics ?? {};
  if (hasBackend || uptimeSeconds > STARTING_SECONDS) return first;
  await sleep(STARTED_MS);
  return inquiry.statistics();
}

function noStatistics(inquiry: Inquiry, reply: Reply): Finding {
  const { name, hasPassword } = inquiry;
  if (reply.status === undefined) return unreachable(inquiry, reply);
  const byProxy = proxyFinding(name, reply);
  if (byProxy !== undefined) return byProxy;
  switch (reply.status) {
    case 401:
    case 403:
      return hasPassword
        ? failed(
            name,
            `refuses the password (${reply.reason})`,
            "set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE to the enable_password of rspamd's local.d/worker-controller.inc (its password where no other is set; not the hash that stands there, but what was hashed)",
          )
        : failed(
            name,
            `wants a password, and none is set (${reply.reason})`,
            "set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE, or add this host's address to secure_ip in rspamd's local.d/worker-controller.inc",
          );
    case 429:
      return failed(
        name,
        `has locked this address out after too many wrong passwords (${reply.reason})`,
        'stop the daemon, correct RSPAMD_PASSWORD, wait some minutes for the lock to end, then start it again',
      );
    case 200:
      return failed(
        name,
        'does not say what Bayes knows: its /stat is not that of rspamd',
        WRONG_PLACE,
      );
    default:
      return failed(
        name,
        `does not answer as a controller (${reply.reason})`,
        cureOf(reply) ?? WRONG_PLACE,
      );
  }
}

/** What a proxy says of itself, or of what is behind it. */
function proxyFinding(name: string, reply: Reply): Finding | undefined {
  const { proxy, reason, status = 0 } = reply;
  // Learning goes on, slowly.
  if (proxy?.kind === 'limited') return warning(name, proxy.reason, proxy.hint);
  if (proxy !== undefined) return failed(name, proxy.reason, proxy.hint);
  if (status < 502 || status > 504) return undefined;
  return failed(
    name,
    `a proxy answers there, and rspamd behind it does not (${reason})`,
    "start rspamd, or correct what the proxy's configuration says of it (its upstream)",
  );
}

function checkVersion(name: string, { version }: Statistics): Finding[] {
  const fault = faultOfVersion(version);
  return fault === undefined ? [] : [warning(name, fault.does, fault.cure)];
}

/** Messages over a proxy's limit would be held back. */
async function checkSize(inquiry: Inquiry, maxBytes: number): Promise<Finding[]> {
  const { proxy } = await inquiry.announce(maxBytes);
  if (proxy?.kind !== 'held') return [];
  return [warning(inquiry.name, `${proxy.reason}: as LEARN_MAX_BYTES allows`, proxy.hint)];
}

/** An empty learning post: refused for want of a body by who would have been let in. */
function checkRight(inquiry: Inquiry, reply: Reply): Finding {
  const { name } = inquiry;
  if (reply.status === undefined) return unreachable(inquiry, reply);
  const byProxy = proxyFinding(name, reply);
  if (byProxy !== undefined) return byProxy;
  if (reply.status === 400 && reply.meaning.kind === 'rejected') {
    return ok(
      name,
      inquiry.hasPassword ? 'lets this password learn' : 'lets this host learn without a password',
    );
  }
  if (reply.status === 401 || reply.status === 403) {
    return failed(
      name,
      'accepts this password for looking, but not for learning: an enable_password is set',
      "set RSPAMD_PASSWORD to the enable_password of rspamd's local.d/worker-controller.inc, or add this host's address to secure_ip there",
    );
  }
  return failed(
    name,
    `answers ${reply.reason} to a learning post`,
    cureOf(reply) ??
      "look at rspamd's log; a proxy in front of it must let POST /learnspam and /learnham pass",
  );
}

function checkBayes(name: string, { hasBackend, learned }: Statistics, history: Reply): Finding {
  const { spam, ham } = learned;
  const redisError = redisErrorOf(history);
  // rspamd 3.12 shows none where its Redis was down when it started.
  if (!hasBackend && redisError === undefined) {
    return failed(
      name,
      'has no Bayes backend ("statfiles" is empty in /stat): nothing can be learned',
      'name a Redis server in rspamd\'s local.d/redis.conf or local.d/classifier-bayes.conf (servers = "127.0.0.1";), see that it runs, then restart rspamd',
    );
  }
  const isUnknown = spam === undefined || ham === undefined;
  const redisSilence =
    hasBackend && isUnknown ? 'is down or was within the last minute' : redisError;
  if (isUnknown || redisSilence !== undefined) {
    return failed(
      name,
      `can't read what Bayes knows: its Redis ${redisSilence}`,
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
  return [
    notTried(
      name,
      "Redis: whether it answers can't be seen, as rspamd's history doesn't lie there",
    ),
  ];
}

/** `/stat` shows its last figures for as long as Redis is away; the history can't. */
function redisErrorOf({ reason }: Reply): string | undefined {
  const error = /^504 \{"error": "(.*)"\}$/.exec(reason)?.[1];
  return error === undefined ? undefined : `does not answer as it should (${error})`;
}

function checkClock(name: string, ping: Reply, wall: () => number): Finding {
  const time = Date.parse(ping.date ?? '');
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

function cureOf(reply: Reply): string | undefined {
  return reply.meaning.kind === 'misconfigured' ? reply.meaning.hint : undefined;
}
