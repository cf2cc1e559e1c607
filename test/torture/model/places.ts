import type { Verdict } from '../../../src/verdict.ts';

/** Where things lie in the model's world: `lib` is the drop directory, `state` the state dir. */

/** Where something lies: `lib/spam/KEY`, `state/queue/ham/KEY`; and how it can be reached. */
export interface Place {
  readonly path: string;
  readonly address: string;
}

export interface Dropped {
  readonly verdict: Verdict;
  readonly name: string;
}

export interface State {
  readonly folder: string;
  readonly verdict: Verdict;
  readonly key: string;
}

/** A file of the drop directory that isn't ours. */
export function dropOf({ path }: Place): Dropped | undefined {
  const [, verdict, name] = /^lib\/(spam|ham)\/([^./][^/]*)$/.exec(path) ?? [];
  return verdict === undefined || name === undefined
    ? undefined
    : { verdict: verdict === 'spam' ? 'spam' : 'ham', name };
}

export function stagedOf({ path }: Place): string | undefined {
  return /^lib\/(?:spam|ham)\/\.learnd-(.*)$/.exec(path)?.[1];
}

/** A message in the state dir. */
export function stateOf({ path }: Place): State | undefined {
  const [, folder, verdict, key] =
    /^state\/(queue|quarantine|release|archive)\/(spam|ham)\/(?:[\d-]+\/)?([^/]+)$/.exec(path) ??
    [];
  if (folder === undefined || key === undefined || key.endsWith('.json')) return undefined;
  return { folder, verdict: verdict === 'spam' ? 'spam' : 'ham', key };
}
