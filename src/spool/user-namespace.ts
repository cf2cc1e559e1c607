import { readText } from '../host.ts';

/**
 * User namespaces (user_namespaces(7)), as rootless containers have them: who has no number in one is
 * shown there as the overflow id, 65534. Nobody in there can be that user or give anything to them, so
 * that every ordinary cure of a wrong owner is impossible.
 */
export function isUnmapped(kind: 'uid' | 'gid', id: number | bigint): boolean {
  const overflow = readText(`/proc/sys/kernel/overflow${kind}`).trim();
  return overflow === String(id) && !isInside(readText(`/proc/self/${kind}_map`), Number(id));
}

/** True when neither the owner nor the group of something has a number here. */
export function isOutsiders(owner: Owner): boolean {
  return isUnmapped('uid', owner.uid) && isUnmapped('gid', owner.gid);
}

/** What can be done about it, by whom started the container. */
export function outsidersCure(place: string): string {
  return `start the container so that its owner has a number in it: --userns=keep-id, as the user who owns ${place} on the host; or give it to the container's user, if nobody else, such as kopano-spamd, needs it: :U behind the volume, or podman unshare chown on the host`;
}

interface Owner {
  readonly uid: number | bigint;
  readonly gid: number | bigint;
}

/** By lines of first number inside, first number outside, how many; no map at all leaves out nobody. */
function isInside(map: string, id: number): boolean {
  if (map.trim() === '') return true;
  return map
    .trim()
    .split('\n')
    .some((line) => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
      return id >= first && id < first + count;
    });
}
