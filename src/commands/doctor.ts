import { readFileSync, statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { systemClock } from '../clock.ts';
import { plainName, userName } from '../doctor/accounts.ts';
import type { Identity } from '../doctor/accounts.ts';
import { checkController } from '../doctor/controller.ts';
import { askDaemon, checkBugs } from '../doctor/daemon.ts';
import { failed, notTried, ok, warning } from '../doctor/finding.ts';
import type { Finding } from '../doctor/finding.ts';
import { checkLearning } from '../doctor/learning.ts';
import { checkSpool } from '../doctor/spool.ts';
import { checkState } from '../doctor/state.ts';
import { checkWatching } from '../doctor/watching.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { procFault } from '../spool/folder.ts';
import { isUnmapped } from '../spool/user-namespace.ts';
import { clean, plural } from '../text.ts';
import { Inquiry } from '../trainers/inquiry.ts';

/**
 * `kopano-learnd doctor`: tries everything that must work and says of each what to do about it.
 * Teaches rspamd nothing, and leaves nothing behind.
 */
export interface DoctorOptions {
  readonly config: Config;
  readonly identity: Identity;
  readonly stop: AbortSignal;
  /** One line a check. */
  readonly out: (text: string) => void;
  /** The sum of it. */
  readonly err: (text: string) => void;
}

/** @returns 1 when a check failed */
export async function doctor(options: DoctorOptions): Promise<ExitCode> {
  const { config, stop, out, err } = options;
  const { libDir, stateDir, polling, maxBytes } = config.spool;
  const wall = (): number => systemClock.wall();
  const counts = { ok: 0, warning: 0, failed: 0, 'not tried': 0 };
  const tell = (findings: readonly Finding[]): void => {
    for (const finding of findings) {
      counts[finding.state] += 1;
      out(lineOf(finding));
    }
  };
  const sum = (): ExitCode => {
    err(
      `${counts.failed} failed, ${plural(counts.warning, 'warning')}, ${counts['not tried']} not tried, ${counts.ok} ok\n`,
    );
    return counts.failed > 0 ? EXIT.failure : EXIT.done;
  };
  const noProc = procFault();
  if (noProc !== undefined) {
    tell([
      failed('/proc', noProc.message, noProc.hint),
      notTried('all else', 'mend the above first'),
    ]);
    return sum();
  }
  const [who, identity] = daemonUser(options.identity, stateDir);
  tell([who]);
  const spool = checkSpool({ libDir, identity, wall });
  tell(spool.findings);
  const daemon = await askDaemon(config.statusListen, stop);
  if (spool.isReachable || !stateDir.startsWith(`${libDir}/`)) {
    const probeName = `kopano-learnd-doctor-${randomBytes(6).toString('hex')}`;
    tell(await checkState({ stateDir, libDir, identity, probeName, daemon }));
  } else {
    tell([notTried('state dir', `${stateDir}: mend the spool first`)]);
  }
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  tell(checkWatching({ libDir, polling, uid: identity.uid, mounts }));
  const known = [];
  for (const controller of config.rspamd.controllers) {
    const inquiry = new Inquiry({ ...config.rspamd, controller, signal: stop });
    const { findings, statistics } = await checkController({ inquiry, wall, maxBytes });
    // What was cut short is no finding.
    if (stop.aborted) break;
    tell(findings);
    known.push({ controller, statistics });
  }
  if (stop.aborted) {
    err('interrupted: not everything was tried\n');
    return EXIT.failure;
  }
  tell([...checkLearning(known, daemon), checkBugs(daemon)]);
  return sum();
}

/** Root may do everything, and so sees no fault of permissions. */
function daemonUser(identity: Identity, stateDir: string): [Finding, Identity] {
  const stats = identity.uid === 0 ? tryStat(stateDir) : undefined;
  if (identity.uid !== 0 || (stats !== undefined && isUnmapped('uid', stats.uid)))
    return [ok('user', `runs as ${userName(identity.uid)}`), identity];
  const [uid, gid] = [stats?.uid ?? 0, stats?.gid ?? 0];
  const name = plainName('user', uid);
  const how =
    name === String(uid)
      ? `setpriv --reuid=${uid} --regid=${gid} --groups=GID,... --`
      : `runuser -u ${name} --`;
  const says =
    uid === 0
      ? 'runs as root, which may do everything: permissions are not really tried'
      : `runs as root, but the state dir belongs to ${userName(uid)}: permissions are not really tried`;
  return [
    warning(
      'user',
      says,
      uid === 0
        ? "run the daemon, and this, as a user of its own or as kopano-spamd's: runuser -u kopano -- kopano-learnd doctor"
        : `run it as the daemon's user, with its groups and environment: ${how} kopano-learnd doctor`,
    ),
    { uid, gid, groups: [gid] },
  ];
}

/** Not even root sees everything: a FUSE or NFS mount, a loop of links. */
function tryStat(place: string): Stats | undefined {
  try {
    return statSync(place);
  } catch {
    return undefined;
  }
}

function lineOf({ state, check, says, cure }: Finding): string {
  const text = cure === undefined ? says : `${says}. Cure: ${cure}`;
  return `${clean(`${state.padEnd(9)}  ${check.padEnd(11)}  ${text}`, 2_000)}\n`;
}
