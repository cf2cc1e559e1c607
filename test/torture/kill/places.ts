/**
 * The places of a spool and its state dir, by name: `drop/spam`, `queue/ham`, `tmp`. Names of
 * messages are left out, so that the same step has the same name for every message.
 */
export interface SpoolPaths {
  /** KOPANO_SPAMD_LIB. */
  readonly lib: string;
  /** LEARN_STATE_DIR. */
  readonly state: string;
}

/** Where a path leads, such as `queue/spam/*`; `undefined` for one outside of spool and state dir. */
export function placeOf(path: string, { lib, state }: SpoolPaths): string | undefined {
  if (path === state) return 'state dir';
  if (path.startsWith(`${state}/`)) return nameless(path.slice(state.length + 1));
  if (path === lib) return 'spool';
  if (path.startsWith(`${lib}/`)) return `drop/${nameless(path.slice(lib.length + 1))}`;
  return undefined;
}

function nameless(path: string): string {
  return path
    .replace(/[^/]*\.eml(?=\.json$|$)/, (name) => (name.startsWith('.learnd-') ? '.learnd-*' : '*'))
    .replace(/\d{4}-\d\d-\d\d/, 'DAY');
}
