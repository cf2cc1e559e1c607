import { readFileSync, readdirSync } from 'node:fs';

/** Looks into `/proc`, where processes end while they are looked at: what is gone is empty. */

export function namesIn(place: string): readonly string[] {
  try {
    return readdirSync(place);
  } catch {
    return [];
  }
}

/** A file's bytes, one character each. */
export function textOf(place: string): string {
  try {
    return readFileSync(place, 'latin1');
  } catch {
    return '';
  }
}
