/**
 * Which messages are copies of another one: they have its Message-ID, or its subject and words. Bayes
 * must not be asked of a message when it has been taught a copy of it.
 */

/**
 * Puts copies together.
 * @param columns for each message a number that copies have in common; 0 says nothing
 * @returns for each message the index of its group, which is that of one of its members
 */
export function groupCopies(columns: readonly Float64Array[]): Uint32Array {
  const parents = Uint32Array.from((columns[0] ?? new Float64Array()).keys());
  const rootOf = (index: number): number => {
    let root = index;
    while ((parents[root] ?? root) !== root) root = parents[root] ?? root;
    // What is looked up again is near.
    for (let at = index; at !== root;) {
      const next = parents[at] ?? root;
      parents[at] = root;
      at = next;
    }
    return root;
  };
  for (const column of columns) {
    const key = (index: number): number => column[index] ?? 0;
    const order = Uint32Array.from(column.keys()).sort((a, b) => key(a) - key(b));
    let before: number | undefined;
    for (const index of order) {
      if (before !== undefined && key(index) !== 0 && key(before) === key(index)) {
        parents[rootOf(index)] = rootOf(before);
      }
      before = index;
    }
  }
  return parents.map((_, index) => rootOf(index));
}
