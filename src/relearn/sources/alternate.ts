import { VERDICTS } from '../../verdict.ts';
import { COUNTED } from './source.ts';
import type { Found, Source } from './source.ts';

interface FoundIn {
  readonly source: Source;
  readonly found: Found;
}

/** A class that is being read, its sources one after the other. */
interface Class {
  readonly sources: readonly Source[];
  readonly reading: AsyncGenerator<FoundIn, void, undefined>;
  turns: number;
}

/**
 * Reads sources of all classes by turns, the turn being that of the class of which the least part was
 * read: so that rspamd, whenever a run ends, has learned of each class as large a part as of the others.
 * Nothing is read ahead.
 * @param sizeOf asked before each turn. @defaultValue unknown: a message of each, until one class ends
 */
export async function* alternate(
  sources: readonly Source[],
  sizeOf: (sources: readonly Source[]) => number | undefined = () => undefined,
): AsyncGenerator<FoundIn, void, undefined> {
  const verdicts = new Set([...VERDICTS, ...sources.map(({ verdict }) => verdict)]);
  const classes: Class[] = [...verdicts].map((verdict) => {
    const own = sources.filter((source) => source.verdict === verdict);
    return { sources: own, reading: inOrder(own), turns: 0 };
  });
  const leastRead = (): Class | undefined => {
    const sizes = classes.map((each) => sizeOf(each.sources));
    const isKnown = !sizes.includes(undefined);
    const parts = classes.map(
      ({ turns }, at) => turns / (isKnown ? Math.max(1, sizes[at] ?? 1) : 1),
    );
    // Where several are equal, the first of them.
    return classes[parts.indexOf(Math.min(...parts))];
  };
  try {
    for (let each = leastRead(); each; each = leastRead()) {
      each.turns += 1;
      let next = await each.reading.next();
      for (; next.done !== true; next = await each.reading.next()) {
        yield next.value;
        if (COUNTED.has(next.value.found.kind)) break;
      }
      if (next.done === true) classes.splice(classes.indexOf(each), 1);
    }
  } finally {
    await Promise.all(classes.map(({ reading }) => reading.return()));
  }
}

/** How many messages the sources hold, `limit` at most; `undefined` while that can't be told. */
export function expectedOf(sources: readonly Source[], limit = Infinity): number | undefined {
  let sum = 0;
  for (const { expected } of sources) {
    if (expected === undefined) return undefined;
    sum += expected;
  }
  return Math.min(Math.round(sum), limit);
}

async function* inOrder(sources: readonly Source[]): AsyncGenerator<FoundIn, void, undefined> {
  for (const source of sources) {
    for await (const found of source.read()) yield { source, found };
  }
}
