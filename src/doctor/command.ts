import { statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { procFault } from '../spool/folder.ts';
import type { Folder } from '../spool/folder.ts';
import { isUnmapped } from '../spool/user-namespace.ts';
import { askStatus } from '../status/client.ts';
import { plural } from '../text.ts';
import { Inquiry } from '../trainers/inquiry.ts';
import { checkController } from './controller.ts';
import { failed, lineOf, notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { checkLearning } from './learning.ts';
import type { Known } from './learning.ts';
import { named, plainName } from './machine.ts';
import type { Account } from './machine.ts';
import { checkSpool } from './spool.ts';
import { checkState } from './state.ts';
import { checkWatching } from './watching.ts';

/**
 * `kopano-learnd doctor`: tries everything that must work and says of each what to do about it.
 * Teaches rspamd nothing, and leaves nothing behind.
 */
export interface DoctorOptions {
  readonly config: Config;
  /** Whom this process runs as. */
  readonly identity: Account;
  readonly stop: AbortSignal;
  /** One line a check. */
  readonly out: (text: string) => void;
  /** The sum of it. */
  readonly err: (text: string) => void;
}

/** @returns 1 when a check failed */
export async function doctor(options: DoctorOptions): Promise<ExitCode> {
  const { stop, out, err } = options;
  const counts = { ok: 0, warning: 0, failed: 0, 'not tried': 0 };
  for await (const finding of findings(options)) {
    // What was cut short is no finding.
    if (stop.aborted) break;
    counts[finding.state] += 1;
    out(lineOf(finding));
  }
  if (stop.aborted) {
    err('interrupted: not everything was tried\n');
    return EXIT.failure;
  }
  err(
    `${counts.failed} failed, ${plural(counts.warning, 'warning')}, ${counts['not tried']} not tried, ${counts.ok} ok\n`,
  );
  return counts.failed > 0 ? EXIT.failure : EXIT.done;
}

async function* findings({ config, identity, stop }: DoctorOptions): AsyncGenerator<Finding> {
  const { libDir, stateDir, polling } = config.spool;
  const noProc = procFault();
  if (noProc !== undefined) {
    yield failed('/proc', noProc.message, noProc.hint);
    yield notTried('all else', 'mend the above first');
    return;
  }
  const [who, account] = daemonUser(identity, stateDir);
  yield who;
  const daemon = await askStatus(config.statusListen, stop);
  const folders: Folder[] = [];
  try {
    const isReachable = yield* checkSpool(libDir, account, folders);
    if (isReachable || !stateDir.startsWith(`${libDir}/`)) {
      yield* await checkState({ stateDir, libDir, folders, account, daemon });
    } else {
      yield notTried('state dir', `${stateDir}: mend the spool first`);
    }
  } finally {
    for (const folder of folders) folder.close();
  }
  yield* checkWatching(libDir, polling);
  const known: Known[] = [];
  for (const controller of config.rspamd.controllers) {
    const inquiry = new Inquiry({ ...config.rspamd, controller, signal: stop });
    known.push({ controller, statistics: yield* checkController(inquiry) });
  }
  yield* checkLearning(known, daemon);
}

/** Whom the daemon runs as. Root may do everything, and so sees no fault of permissions. */
function daemonUser(identity: Account, stateDir: string): [Finding, Account] {
  const check = 'user';
  const { uid = 0, gid = 0 } = (identity.uid === 0 ? tryStat(stateDir) : undefined) ?? {};
  if (identity.uid !== 0 || isUnmapped('uid', uid)) {
    return [ok(check, `runs as ${named('uid', identity.uid)}`), identity];
  }
  const name = plainName('uid', uid);
  const how =
    name === String(uid)
      ? `setpriv --reuid=${uid} --regid=${gid} --groups=GID,... --`
      : `runuser -u ${name} --`;
  const owner = uid === 0 ? '' : `, but the state dir belongs to ${named('uid', uid)}`;
  const finding = warning(
    check,
    `runs as root${owner}: root may do everything, so that permissions are not really tried`,
    uid === 0
      ? "run the daemon, and this, as a user of its own or as kopano-spamd's: runuser -u kopano -- kopano-learnd doctor"
      : `run it as the daemon's user, with its groups and environment: ${how} kopano-learnd doctor`,
  );
  return [finding, { uid, gid, groups: [gid] }];
}

/** Not even root sees everything: a FUSE or NFS mount, a loop of links. */
function tryStat(place: string): Stats | undefined {
  try {
    return statSync(place);
  } catch {
    return undefined;
  }
}
