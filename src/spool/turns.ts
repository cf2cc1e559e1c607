import type { Verdict } from '../verdict.ts';
import type { Folder, FolderEntry } from './folder.ts';

export interface ListedEntry {
  readonly verdict: Verdict;
  readonly entry: FolderEntry;
}

/**
 * Lists folders by turns, an entry of each, so that neither class waits for the other. Keeps them open
 * until it is finished or returned.
 * @param onFault hears of an error, which ends the list of its folder. @defaultValue throws it
 */
export function* listByTurns(
  folders: readonly { readonly verdict: Verdict; readonly folder: Folder }[],
  onFault?: (verdict: Verdict, error: unknown) => void,
): Generator<ListedEntry, void, undefined> {
  const lists = new Set(folders.map(({ verdict, folder }) => ({ verdict, list: folder.list() })));
  const next = ({ verdict, list }: { verdict: Verdict; list: Generator<FolderEntry, void> }) => {
    try {
      return list.next();
    } catch (error) {
      if (onFault === undefined) throw error;
      onFault(verdict, error);
      return undefined;
    }
  };
  try {
    while (lists.size > 0) {
      for (const each of lists) {
        const result = next(each);
        if (result === undefined || result.done === true) lists.delete(each);
        else yield { verdict: each.verdict, entry: result.value };
      }
    }
  } finally {
    for (const { list } of lists) list.return();
  }
}
