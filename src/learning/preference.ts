import { createHash } from 'node:crypto';

/**
 * The order in which a key tries the controllers (rendezvous hashing): always the same for a key,
 * and one controller more or less moves only the keys that it had.
 */
export function preferenceOf(key: string, controllers: readonly string[]): readonly string[] {
  if (controllers.length < 2) return controllers;
  return controllers
    .map((name) => ({
      name,
      weight: createHash('sha256').update(`${name}\n${key}`).digest().readUInt32BE(0),
    }))
    .sort((a, b) => b.weight - a.weight)
    .map(({ name }) => name);
}
