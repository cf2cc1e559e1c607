import { VERDICTS } from '../../verdict.ts';
import type { Found, Source } from './source.ts';

export interface FoundIn {
  readonly source: Source;
  readonly found: Found;
}

/** How many messages some sources hold, as far as that can be told. */
export type SizeOf = (sources: readonly Source[]) => number | undefined;

/** The kinds of what was found that are a class's turn. */
const TURN: ReadonlySet<Found['kind']> = new Set(['message', 'done', 'failed']);

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
  sizeOf: SizeOf = () => undefined,
): AsyncGenerator<FoundIn, void, undefined> {
  const verdicts = new Set([...VERDICTS, ...sources.map(({ verdict }) => verdict)]);
  const classes: Class[] = [...verdicts].map((verdict) => {
    const own = sources.filter((source) => source.verdict === verdict);
    return { sources: own, reading: inOrder(own), turns: 0 };
  });
  try {
    for (let each = leastRead(classes, sizeOf); each; each = leastRead(classes, sizeOf)) {
      each.turns += 1;
      let next = await each.reading.next();
      for (; next.done !== true; next = await each.reading.next()) {
        yield next.value;
        if (TURN.has(next.value.found.kind)) break;
      }
      if (next.done === true) classes.splice(classes.indexOf(each), 1);
    }
  } finally {
    await Promise.all(classes.map(({ reading }) => reading.return()));
  }
}

/** The class of which the least part was read; of equals the first. */
function leastRead(classes: readonly Class[], sizeOf: SizeOf): Class | undefined {
  const sizes = classes.map(({ sources }) => sizeOf(sources));
  const isKnown = !sizes.includes(undefined);
  const parts = classes.map(({ turns }, at) => turns / Math.max(1, isKnown ? (sizes[at] ?? 1) : 1));
  return classes[parts.indexOf(Math.min(...parts))];
}

async function* inOrder(sources: readonly Source[]): AsyncGenerator<FoundIn, void, undefined> {
  for (const source of sources) {
    for await (const found of source.read()) yield { source, found };
  }
}
