import { readlinkSync, realpathSync, statSync, watch } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { entriesOf, processIds, readText, userName } from './machine.ts';

/** Whether the kernel can tell when something comes into the spool. Without that sweeps find it. */
export interface WatchingCheckOptions {
  readonly libDir: string;
  /** LEARN_POLLING. */
  readonly polling: boolean;
  readonly uid: number;
  /** Text of /proc/self/mountinfo. */
  readonly mounts: string;
}

/**
 * Types of file systems on which changes made elsewhere ring for nobody. `fuse` with any subtype,
 * too; virtiofs and 9p are what virtual machines and Docker Desktop share folders by.
 */
const DEAF =
  /^(nfs4?|cifs|smb3|smbfs|9p|virtiofs|fuse(\..*)?|fuseblk|ceph|vboxsf|prl_fs|afs|lustre|gfs2|ocfs2)$/;

export function checkWatching({ libDir, polling, uid, mounts }: WatchingCheckOptions): Finding[] {
  if (polling) {
    return [ok('inotify', 'not needed: LEARN_POLLING=yes, the folders are swept every 2 s')];
  }
  const limits = { instances: limitOf('instances'), watches: limitOf('watches') };
  const figures = { uid, limits, used: inotifyUse(uid), refusal: tryWatch(libDir) };
  return [checkVolume(libDir, mounts), judgeLimits(figures)];
}

function checkVolume(libDir: string, mounts: string): Finding {
  const check = 'volume';
  let place: string;
  try {
    place = realpathSync(`${libDir}/spam`);
  } catch {
    return notTried(check, `${libDir}/spam can't be reached`);
  }
  const type = fileSystemType(mounts, place);
  if (type === undefined) return notTried(check, 'the type of its file system is not known');
  if (!DEAF.test(type)) return ok(check, `${type} tells of new files`);
  return warning(
    check,
    `${libDir} is on ${type}, which doesn't tell of files that another machine or container writes`,
    'set LEARN_POLLING=yes',
  );
}

/** The type of the file system that a path lies on, by /proc/self/mountinfo (proc(5)). */
export function fileSystemType(mounts: string, place: string): string | undefined {
  let longest = -1;
  let type: string | undefined;
  for (const line of mounts.split('\n')) {
    const [before = '', after] = line.split(' - ');
    const mountPoint = (before.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    if (after === undefined || mountPoint === '') continue;
    const isAbove = `${place}/`.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`);
    // Of two at one place the later one lies on top.
    if (!isAbove || mountPoint.length < longest) continue;
    longest = mountPoint.length;
    type = after.split(' ')[0];
  }
  return type;
}

/** What there is of inotify for one user, and what is used. */
export interface InotifyFigures {
  readonly uid: number;
  readonly limits: { readonly instances: number; readonly watches: number };
  readonly used: { readonly instances: number; readonly watches: number };
  /** The error of trying it. */
  readonly refusal: string | undefined;
}

const NEAR = 0.9;

export function judgeLimits({ uid, limits, used, refusal }: InotifyFigures): Finding {
  const check = 'inotify';
  const { instances, watches } = limits;
  const figures = `${userName(uid)} uses ${used.instances} of ${instances} instances and ${used.watches} of ${watches} watches`;
  const cure = `raise it: sysctl -w fs.inotify.max_user_instances=${grown(instances)} fs.inotify.max_user_watches=${grown(watches)}, for good in /etc/sysctl.d/ (on the host, for a container); or set LEARN_POLLING=yes`;
  if (refusal === 'EMFILE' || refusal === 'ENOSPC') {
    return warning(
      check,
      `nothing can be watched any more (${refusal}); ${figures}. Messages are found every 2 s all the same`,
      cure,
    );
  }
  if (used.instances >= instances * NEAR || used.watches >= watches * NEAR) {
    return warning(check, `the limit is near: ${figures}`, cure);
  }
  return ok(check, figures);
}

function grown(limit: number): number {
  return Number.isFinite(limit) ? Math.max(512, limit * 2) : 512;
}

function limitOf(what: 'instances' | 'watches'): number {
  const text = readText(`/proc/sys/fs/inotify/max_user_${what}`);
  return text === '' ? Infinity : Number(text);
}

/** Watches the spool's folder for a moment; a watch changes nothing there. */
function tryWatch(place: string): string | undefined {
  try {
    watch(place, { persistent: false }).close();
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? 'unknown';
  }
}

/** Counts what a user's processes hold, as far as they can be seen from here. */
function inotifyUse(uid: number): { readonly instances: number; readonly watches: number } {
  let [instances, watches] = [0, 0];
  for (const pid of processIds()) {
    try {
      if (statSync(`/proc/${pid}`).uid !== uid) continue;
    } catch {
      continue; // it has just ended
    }
    for (const fd of entriesOf(`/proc/${pid}/fd`)) {
      if (!isInotify(`/proc/${pid}/fd/${fd}`)) continue;
      instances += 1;
      watches += readText(`/proc/${pid}/fdinfo/${fd}`).match(/^inotify wd:/gm)?.length ?? 0;
    }
  }
  return { instances, watches };
}

function isInotify(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor) === 'anon_inode:inotify';
  } catch {
    return false; // it was just closed
  }
}
