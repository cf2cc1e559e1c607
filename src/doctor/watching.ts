import { statfsSync, watch } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { notTried, ok, warning } from './finding.ts';
import type { Case, Cure, Finding } from './finding.ts';
import { readText } from '../host.ts';
import type { Host } from '../host.ts';

/** Whether the kernel can tell when something comes into the spool. Without that sweeps find it. */

/**
 * File systems on which changes made elsewhere ring for nobody, by their magic number (statfs(2)).
 * virtiofs and 9p are what virtual machines and Docker Desktop share folders by; virtiofs has the
 * number of FUSE.
 */
const DEAF: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x65735546, 'FUSE'],
  [0x01021997, '9p'],
  [0x00c36400, 'Ceph'],
  [0x786f4256, 'vboxsf'],
  [0x01161970, 'GFS2'],
  [0x7461636f, 'OCFS2'],
]);

export function checkWatching({ config, host }: Case): Finding[] {
  const { libDir, polling } = config.spool;
  if (polling) {
    return [ok('inotify', 'not needed: LEARN_POLLING=yes, the folders are swept every 2 s')];
  }
  return [checkVolume(libDir), checkInotify(libDir, host)];
}

function checkVolume(libDir: string): Finding {
  const check = 'volume';
  try {
    const type = DEAF.get(statfsSync(`${libDir}/spam`).type >>> 0);
    if (type === undefined) return ok(check, 'its file system tells of new files');
    const says = `${libDir} is on ${type}, which doesn't tell of files that another machine or container writes`;
    return warning(check, says, 'set LEARN_POLLING=yes');
  } catch {
    return notTried(check, `${libDir}/spam can't be reached`);
  }
}

/** The kernel's limit that a refusal is about. */
const LIMITS: Readonly<Record<string, string>> = {
  EMFILE: 'max_user_instances',
  ENOSPC: 'max_user_watches',
};

/** Watches the spool's folder for a moment; a watch changes nothing there. */
function checkInotify(libDir: string, host: Host): Finding {
  const check = 'inotify';
  try {
    watch(libDir, { persistent: false }).close();
    return ok(check, 'the folders can be watched');
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown error';
    const limit = LIMITS[code];
    if (limit === undefined) return notTried(check, `${libDir} can't be watched (${code})`);
    const now = Number(readText(`/proc/sys/fs/inotify/${limit}`));
    return warning(
      check,
      `nothing can be watched any more (${code}): this user has used up ${limit}, ${now}. Messages are found every 2 s all the same`,
      raise(limit, Math.max(512, now * 2), host),
    );
  }
}

/** In a container the limit is the host's. */
function raise(limit: string, value: number, { kind }: Host): Cure {
  const key = `fs.inotify.${limit}`;
  if (kind === 'container') {
    return `raise it on the host: sysctl -w ${key}=${value}, for good in /etc/sysctl.d/ there; or set LEARN_POLLING=yes`;
  }
  return {
    hint: 'raise it; or set LEARN_POLLING=yes',
    command: `echo ${value} >/proc/sys/fs/inotify/${limit} && mkdir -p /etc/sysctl.d && echo ${key}=${value} >/etc/sysctl.d/60-${limit}.conf`,
  };
}
