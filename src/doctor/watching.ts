import { readFileSync, readlinkSync, realpathSync, statSync, watch } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { userName } from './accounts.ts';
import { notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';
import { namesIn, textOf } from './proc.ts';

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

export function checkWatching(options: WatchingCheckOptions): Finding[] {
  if (options.polling) {
    return [ok('inotify', 'not needed: LEARN_POLLING=yes, the folders are swept every 2 s')];
  }
  return [checkVolume(options), checkLimits(options)];
}

function checkVolume({ libDir, mounts }: WatchingCheckOptions): Finding {
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
    const mountPoint = unescaped(before.split(' ')[4] ?? '');
    if (after === undefined || mountPoint === '') continue;
    const isAbove =
      mountPoint === '/' || place === mountPoint || place.startsWith(`${mountPoint}/`);
    // Of two at one place the later one lies on top.
    if (!isAbove || mountPoint.length < longest) continue;
    longest = mountPoint.length;
    type = after.split(' ')[0];
  }
  return type;
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  );
}

function checkLimits({ libDir, uid }: WatchingCheckOptions): Finding {
  const limits = {
    instances: limitOf('max_user_instances'),
    watches: limitOf('max_user_watches'),
  };
  const used = inotifyUse(uid);
  const refusal = tryWatch(libDir);
  return judgeLimits({ uid, limits, used, refusal });
}

/** What there is of inotify for one user, and what is used. */
export interface InotifyFigures {
  readonly uid: number;
  readonly limits: { readonly instances: number | undefined; readonly watches: number | undefined };
  readonly used: { readonly instances: number; readonly watches: number };
  /** The error of trying it. */
  readonly refusal: string | undefined;
}

const NEAR = 0.9;

export function judgeLimits({ uid, limits, used, refusal }: InotifyFigures): Finding {
  const check = 'inotify';
  const { instances = Infinity, watches = Infinity } = limits;
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

function limitOf(name: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/fs/inotify/${name}`, 'utf8'));
  } catch {
    return undefined;
  }
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
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name))) {
    if (ownerOf(`/proc/${pid}`) !== uid) continue;
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      if (linkOf(`/proc/${pid}/fd/${fd}`) !== 'anon_inode:inotify') continue;
      instances += 1;
      watches += textOf(`/proc/${pid}/fdinfo/${fd}`).match(/^inotify wd:/gm)?.length ?? 0;
    }
  }
  return { instances, watches };
}

// Processes end while they are looked at.

function ownerOf(place: string): number | undefined {
  try {
    return statSync(place).uid;
  } catch {
    return undefined;
  }
}

function linkOf(place: string): string {
  try {
    return readlinkSync(place);
  } catch {
    return '';
  }
}
