/**
 * The heart: whether the daemon turns. What it waits for outside (rspamd, a spool that is missing or
 * another's) is no standstill; only its own work that doesn't come forward is.
 */
export interface Standstill {
  /** What stands still, in words. */
  readonly what: string;
  /** Milliseconds since it should have come forward; 0 while it does. */
  readonly ms: number;
}

/** A busy machine and a slow disk may hold something up for this long. */
const PATIENCE_MS = 30_000;

/** Says what has stood still for too long; nothing, when all is well. */
export function standstillReasons(standstills: readonly Standstill[]): string[] {
  return standstills
    .filter(({ ms }) => ms > PATIENCE_MS)
    .map(({ what, ms }) => `${what} has stood still for ${Math.round(ms / 1000)} s`);
}
