import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Folder } from './folder.ts';

const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;

/**
 * Writes a file that is on the disk when this returns: a rename then puts it in its place whole, or not
 * at all.
 * @returns where it lies
 * @throws the system's error for a disk fault
 */
export async function writeSynced(
  temporary: Folder,
  name: string,
  text: string,
): Promise<Buffer | string> {
  const place = temporary.at(name);
  const file = await open(place, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return place;
}
