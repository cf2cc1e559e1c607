import { VERDICTS } from '../../verdict.ts';
import type { Found, Source } from './source.ts';

export interface FoundIn {
  readonly source: Source;
  readonly found: Found;
}

/** The kinds of what was found that are a class's turn. */
const TURN: ReadonlySet<Found['kind']> = new Set(['message', 'done', 'failed']);

/**
 * Reads sources of all classes by turns, a message of each, until one class ends: so that at no
 * moment rspamd has learned much of one class and little of the other. The sources of a class are
 * read one after the other. Nothing is read ahead.
 */
export async function* alternate(
  sources: readonly Source[],
): AsyncGenerator<FoundIn, void, undefined> {
  const verdicts = new Set([...VERDICTS, ...sources.map(({ verdict }) => verdict)]);
  const classes = [...verdicts].map((verdict) =>
    inOrder(sources.filter((source) => source.verdict === verdict)),
  );
  try {
    while (classes.length > 0) {
      for (const reading of [...classes]) {
        let next = await reading.next();
        for (; next.done !== true; next = await reading.next()) {
          yield next.value;
          if (TURN.has(next.value.found.kind)) break;
        }
        if (next.done === true) classes.splice(classes.indexOf(reading), 1);
      }
    }
  } finally {
    await Promise.all(classes.map((reading) => reading.return()));
  }
}

async function* inOrder(sources: readonly Source[]): AsyncGenerator<FoundIn, void, undefined> {
  for (const source of sources) {
    for await (const found of source.read()) yield { source, found };
  }
}
