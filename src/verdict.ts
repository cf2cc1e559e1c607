/**
 * What a user decided of a message: `spam`, `ham`, or one of the further classes of LEARN_CLASSES; and
 * the one rule of precedence between two verdicts.
 */
export type Verdict = string;

/** The classes that every spool has. */
export const VERDICTS = ['spam', 'ham'] as const;

export type BaseVerdict = (typeof VERDICTS)[number];

/** Something for each class of a spool, and for no others. */
export interface PerClass<T> {
  readonly spam: T;
  readonly ham: T;
  readonly [further: Verdict]: T;
}

/** @param verdicts all classes, `spam` and `ham` among them */
export function perClass<T>(
  verdicts: readonly Verdict[],
  make: (verdict: Verdict) => T,
): PerClass<T> {
  const [spam, ham] = VERDICTS.map(make) as [T, T];
  const further = verdicts.filter((each) => each !== 'spam' && each !== 'ham');
  return { spam, ham, ...Object.fromEntries(further.map((each) => [each, make(each)])) };
}

/** The classes of a spool, in the order of its settings. */
export function classesOf(things: PerClass<unknown>): readonly Verdict[] {
  return Object.keys(things);
}

/** @throws for a class that is none of the spool's */
export function ofClass<T>(things: PerClass<T>, verdict: Verdict): T {
  const thing = things[verdict];
  if (thing === undefined) throw new Error(`there is no class ${verdict}`);
  return thing;
}

/** All classes but one. */
export function othersOf(verdicts: readonly Verdict[], verdict: Verdict): readonly Verdict[] {
  return verdicts.filter((each) => each !== verdict);
}

/**
 * Whether a file of `verdict` beats the file of the same name and the verdict `other`, by their mtimes
 * in nanoseconds: the newer one holds the user's last word, and on a tie ham does before all others,
 * and any before spam. The kernel's clock ticks every few milliseconds, so that ties do happen.
 */
export function takesPrecedence(
  verdict: Verdict,
  mtimeNs: bigint,
  other: Verdict,
  otherMtimeNs: bigint,
): boolean {
  if (mtimeNs !== otherMtimeNs) return mtimeNs > otherMtimeNs;
  const [rank, otherRank] = [rankOf(verdict), rankOf(other)];
  return rank === otherRank ? verdict < other : rank > otherRank;
}

function rankOf(verdict: Verdict): number {
  if (verdict === 'spam') return 0;
  return verdict === 'ham' ? 2 : 1;
}

/** Whether a further class may be called so: it names folders, and stands in a header and in labels. */
export function isClassName(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_-]{0,31}$/.test(name);
}
