import { readdirSync, readlinkSync } from 'node:fs';

/**
 * What this process holds open below a folder, and what of that was removed since. Other tests of the
 * same process open and close files at any moment: their number tells nothing.
 */
export function openFilesBelow(folder: string): string[] {
  return readdirSync('/proc/self/fd')
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        return [];
      }
    })
    .filter((path) => path.startsWith(`${folder}/`) || path === folder)
    .sort();
}
