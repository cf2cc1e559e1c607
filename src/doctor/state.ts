import { randomUUID } from 'node:crypto';
import { constants, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { OperatorError, errnoOf, ifAllowed } from '../errors.ts';
import { restartCommand } from '../host.ts';
import type { Host } from '../host.ts';
import { isFolder, namesIn, statsAt } from '../spool/folder.ts';
import type { Folder } from '../spool/folder.ts';
import { LOCK_FILE, lockDescriptor, probeOwnership } from '../spool/owner.ts';
import { crossesDevices, howToMake, isLoose, octal, openStateRoot } from '../spool/state-dir.ts';
import type { DaemonAnswer } from '../status/ask.ts';
import { inShell, plural } from '../text.ts';
import { isClassName } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Case, Finding } from './finding.ts';
import { accessFault, named } from './machine.ts';

/**
 * The state dir: the daemon's own, writable, on the spool's file system, and with one owner.
 * @param folders the class folders that can be opened
 */
export async function checkState(given: Case, folders: readonly Folder[]): Promise<Finding[]> {
  const { libDir, stateDir, verdicts } = given.config.spool;
  const { uid, gid } = given.identity;
  const asOpened = { path: stateDir, libDir, uid, gid };
  let root: Folder;
  try {
    root = openStateRoot(asOpened);
  } catch (error) {
    // Even somebody else's may be that of a running daemon.
    return [checkUnopened(error, given), await checkOwner(undefined, folders, given)];
  }
  try {
    return [
      ...(isLoose(root.stats, asOpened) ? [loose(root)] : []),
      checkProbe(root),
      checkDevice(root, folders, libDir),
      ...leftOver(root, verdicts),
      await checkOwner(root, folders, given),
    ];
  } finally {
    root.close();
  }
}

/** Nothing is changed here. */
function loose({ path: place, stats }: Folder): Finding {
  return warning(
    'state dir',
    `${place} can be written by others (mode ${octal(stats.mode)}), as Kubernetes' fsGroup makes it; the daemon takes that away at its start, and while it runs`,
    {
      hint: 'start the daemon, or do it yourself; fsGroupChangePolicy: OnRootMismatch keeps Kubernetes from making it so again and again',
      command: `chmod 0700 ${inShell(place)}`,
    },
  );
}

/** Messages that wait, of classes that LEARN_CLASSES names no more: nobody takes them. */
function leftOver({ path: place }: Folder, verdicts: readonly Verdict[]): Finding[] {
  return ['queue', 'release'].flatMap((name) =>
    namesIn(`${place}/${name}`)
      .filter((verdict) => isClassName(verdict) && !verdicts.includes(verdict))
      .map((verdict) => ({ verdict, count: namesIn(`${place}/${name}/${verdict}`).length }))
      .filter(({ count }) => count > 0)
      .map(({ verdict, count }) =>
        failed(
          'classes',
          `${plural(count, 'message')} of the class ${verdict} left in ${place}/${name}/${verdict}, and LEARN_CLASSES does not name it`,
          `name ${verdict} in LEARN_CLASSES until they are learned, or move them away`,
        ),
      ),
  );
}

/** Only `watch` makes it; this says whether it could. */
function checkUnopened(error: unknown, { config, identity }: Case): Finding {
  const check = 'state dir';
  const { stateDir } = config.spool;
  if (error instanceof OperatorError) return failed(check, error.message, error);
  const code = errnoOf(error);
  if (code === undefined) throw error;
  if (code !== 'ENOENT') {
    return failed(check, `${stateDir} cannot be opened (${code})`, 'look at the file system');
  }
  let parent = path.dirname(stateDir);
  while (!isFolder(parent) && parent !== '/') parent = path.dirname(parent);
  const fault = accessFault(parent, constants.W_OK | constants.X_OK);
  if (fault === undefined) {
    return ok(check, `${stateDir} is not there yet; the daemon can make it`);
  }
  const { uid, gid } = identity;
  const says = `${stateDir} is missing, and ${named('uid', uid)} may not make it in ${parent} (${fault})`;
  return failed(check, says, CURES[fault] ?? howToMake(stateDir, uid, gid));
}

/** As much as most messages have. */
const PROBE_BYTES = 65_536;

const CURES: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on its file system (space or inodes)',
  EDQUOT: 'raise the disk quota, or make room',
  EROFS: 'mount it writable, or set LEARN_STATE_DIR to a writable volume that lasts',
};

/** A file is really written, renamed and removed: permissions, quotas and full disks show by that. */
function checkProbe(root: Folder): Finding {
  const check = 'state dir';
  const name = `.kopano-learnd-doctor-${randomUUID()}`;
  const place = isFolder(String(root.at('tmp'))) ? 'tmp/' : '';
  const [first, second] = [root.at(`${place}${name}-1`), root.at(`${name}-2`)];
  try {
    // Flushed, because a file system may put off looking for room.
    const options = { flag: 'wx', mode: 0o600, flush: true };
    writeFileSync(first, Buffer.alloc(PROBE_BYTES, 'x'), options);
    renameSync(first, second);
    unlinkSync(second);
    return ok(check, `in ${root.path} a file can be written, renamed and removed`);
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    for (const each of [first, second]) {
      // It may never have been made.
      ifAllowed(() => unlinkSync(each));
    }
    const { uid } = root.stats;
    return failed(
      check,
      `in ${root.path} no file can be written, renamed and removed (${code})`,
      CURES[code] ?? {
        hint: "let it be the daemon's own, as a whole",
        command: `chown -R ${uid} ${inShell(root.path)} && chmod -R u+rwX ${inShell(root.path)}`,
      },
    );
  }
}

function checkDevice(root: Folder, folders: readonly Folder[], libDir: string): Finding {
  const check = 'file system';
  if (folders.length === 0) return notTried(check, 'neither spam/ nor ham/ can be opened');
  try {
    if (!folders.some((folder) => crossesDevices(folder, root))) {
      return ok(check, 'a message moves into the state dir by one rename');
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return notTried(check, `mend the above first (${code})`);
  }
  return warning(
    check,
    `${root.path} is on another file system or mount than spam/ and ham/: each message is copied, which is slower and needs room for two`,
    `set LEARN_STATE_DIR to a folder on the same mount, such as ${libDir}/.learnd (its default); in a container mount their common parent as one volume`,
  );
}

/**
 * Who owns the spool: the running daemon says so; else the lock in the state dir tells, and those on
 * kopano-spamd's folders, which a daemon with another state dir has too.
 * @param root the state dir, where it can be opened
 */
async function checkOwner(
  root: Folder | undefined,
  folders: readonly Folder[],
  { config, daemon, host }: Case,
): Promise<Finding> {
  const check = 'owner';
  const { stateDir } = config.spool;
  if (daemon.kind === 'running' && daemon.report.role === 'owner') {
    if (isSamePlace(daemon.report.stateDir, stateDir)) {
      return ok(check, 'the running daemon owns the spool');
    }
  }
  try {
    const lock = root === undefined ? undefined : await probeOwnership(root);
    if (lock === 'held')
      return ownedBySome(daemon, host, `fuser -v ${inShell(`${stateDir}/${LOCK_FILE}`)}`);
    const folder = await lockedFolder(folders);
    if (folder !== undefined) {
      return warning(
        check,
        `a daemon of another user or with another LEARN_STATE_DIR owns the spool: ${folder} is locked`,
        `stop it, or run this as it runs, with the same user and LEARN_STATE_DIR; who it is: fuser -v ${inShell(folder)}`,
      );
    }
    if (lock === 'unsupported') {
      return failed(
        check,
        `the file system of ${stateDir} has no file locks`,
        'set LEARN_STATE_DIR to a folder on a local file system',
      );
    }
    return lock === undefined
      ? notTried(check, 'there is no lock file to try: no daemon was here, or this user may not')
      : ok(check, 'no daemon owns the spool; the next one can');
  } catch (error) {
    if (error instanceof OperatorError) return failed(check, error.message, error);
    throw error;
  }
}

const SOME = 'a daemon (or relearn, which reads what lies there)';

/** Another process holds the lock of this state dir. */
function ownedBySome(daemon: DaemonAnswer, host: Host, who: string): Finding {
  const check = 'owner';
  switch (daemon.kind) {
    case 'off':
      return ok(check, `${SOME} owns the spool; which one is not known, as STATUS_LISTEN is off`);
    case 'wedged':
      return failed(check, `a daemon owns the spool, and does not answer: ${daemon.reason}`, {
        hint: `restart it, where it is that one (kill -CONT if somebody has stopped it); who it is: ${who}`,
        command: restartCommand(host),
      });
    case 'none':
    case 'running':
      return warning(
        check,
        `${SOME} owns the spool, and is not the one that STATUS_LISTEN leads to`,
        `stop one of them, or make STATUS_LISTEN that of the owner; who it is: ${who}`,
      );
  }
}

/** A class folder that some process has locked, as an owner does where the file system can. */
async function lockedFolder(folders: readonly Folder[]): Promise<string | undefined> {
  for (const { fd, path } of folders) {
    if ((await lockDescriptor(fd)) === 'held') return path;
  }
  return undefined;
}

/** Whether two paths lead to one folder. */
function isSamePlace(one: string, other: string): boolean {
  const [a, b] = [statsAt(one), statsAt(other)];
  return a === undefined || b === undefined ? one === other : a.dev === b.dev && a.ino === b.ino;
}
