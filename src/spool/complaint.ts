import { statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { otherVerdict } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { isOutsiders, outsidersCure } from './user-namespace.ts';

/** What is wrong with a class folder that can't be opened, and the line that makes it right. */
export interface Complaint {
  readonly message: string;
  readonly cure: string;
}

/** @param code why the folder couldn't be opened */
export function complainOf(libDir: string, verdict: Verdict, code: string): Complaint {
  const place = `${libDir}/${verdict}`;
  switch (code) {
    case 'ENOENT': {
      const cure = installLine(libDir, verdict);
      return { message: `${place} is missing; it is waited for. Make it: ${cure}`, cure };
    }
    case 'EACCES': {
      const stats = tryStat(place);
      const closed = stats ?? tryStat(libDir);
      const cure =
        closed !== undefined && isOutsiders(closed)
          ? outsidersCure(stats === undefined ? libDir : place)
          : stats === undefined
            ? // It can't even be seen.
              `${ownerOf(tryStat(libDir))} let the daemon's user enter ${libDir}: give it that group and the folder g+x, or: chmod o+x ${libDir}`
            : `${ownerOf(stats)} give the daemon's user that group, or: chmod g+rwx ${place}`;
      return { message: `${place} cannot be opened (permission denied); ${cure}`, cure };
    }
    case 'ELOOP':
    case 'ENOTDIR': {
      const cure = `replace it by a folder: rm ${place} && ${installLine(libDir, verdict)}`;
      return { message: `${place} is not a folder (a symlink is not followed); ${cure}`, cure };
    }
    default: {
      const cure = 'look at the file system; it is tried again';
      return { message: `${place} cannot be opened (${code}); ${cure}`, cure };
    }
  }
}

/** The line that makes a missing folder right: like its sibling, else like the spool. */
function installLine(libDir: string, verdict: Verdict): string {
  const model = tryStat(`${libDir}/${otherVerdict(verdict)}`) ?? tryStat(libDir);
  if (model !== undefined && isOutsiders(model)) {
    return `install -d -o OWNER -g GROUP -m MODE ${libDir}/${verdict}, on the host and with those of ${libDir}`;
  }
  const owner = model === undefined ? 'kopano' : String(model.uid);
  const group = model === undefined ? 'kopano' : String(model.gid);
  const mode = model === undefined ? '0775' : (model.mode & 0o7777).toString(8).padStart(4, '0');
  return `install -d -o ${owner} -g ${group} -m ${mode} ${libDir}/${verdict}`;
}

function ownerOf(stats: Stats | undefined): string {
  if (stats === undefined) return '';
  return `uid ${stats.uid}, gid ${stats.gid}, mode ${(stats.mode & 0o7777).toString(8)}:`;
}

function tryStat(place: string): Stats | undefined {
  try {
    return statSync(place);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
