import type { Verdict } from './verdict.ts';

/** Where rspamd's fuzzy storage keeps what users call so, and how much one message counts there. */
export interface FuzzyFlag {
  /** The number of a list of the storage, as in `fuzzy_map` of rspamd's fuzzy_check. */
  readonly flag: number;
  readonly weight: number;
}

export type FuzzyFlags = ReadonlyMap<Verdict, FuzzyFlag>;

const FORM = 'CLASS:FLAG or CLASS:FLAG:WEIGHT, separated by commas, such as spam:11,ham:13';
/** What rspamd's protocol holds. */
const MOST = 2 ** 31 - 1;

/**
 * Reads RSPAMD_FUZZY_FLAGS: what each class is called in the fuzzy storage.
 * @returns `undefined` for an empty text: the storage is left alone
 * @throws with the form that is expected
 */
export function fuzzyFlags(verdicts: readonly Verdict[]): (text: string) => FuzzyFlags | undefined {
  return (text) => {
    if (text === '') return undefined;
    const flags = new Map<Verdict, FuzzyFlag>();
    for (const part of text.split(',')) {
      const [, name = '', flag = '', weight = '1'] =
        /^\s*([^:\s]+):(\d{1,10})(?::(\d{1,10}))?\s*$/.exec(part) ?? [];
      const verdict = verdicts.find((each) => each === name);
      if (name === '') throw new Error(`must be ${FORM}, not '${text}'`);
      if (verdict === undefined) {
        throw new Error(`names the class '${name}', which is none of ${verdicts.join(', ')}`);
      }
      if (flags.has(verdict)) throw new Error(`names ${verdict} twice`);
      const entry = { flag: Number(flag), weight: Number(weight) };
      if (Object.values(entry).some((value) => value < 1 || value > MOST)) {
        throw new Error(`must have flags and weights from 1 to ${MOST}, not '${text}'`);
      }
      if ([...flags.values()].some((each) => each.flag === entry.flag)) {
        throw new Error(`gives two classes the flag ${entry.flag}`);
      }
      flags.set(verdict, entry);
    }
    return flags;
  };
}
