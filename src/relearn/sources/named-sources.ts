import type { Verdict } from '../../verdict.ts';
import { archiveSources } from './archive.ts';
import { PathSource } from './path-source.ts';
import { pathsOf } from './source-arguments.ts';
import type { SourceArguments } from './source-arguments.ts';
import type { ReadingOptions, Source } from './source.ts';

/** The sources that a command line names, as {@link sortedSources} sorted them. None is opened yet. */
export function namedSources(
  named: SourceArguments,
  verdicts: readonly Verdict[],
  reading: ReadingOptions,
): readonly Source[] {
  return [
    ...archiveSources(named.dirs, verdicts, reading),
    ...verdicts.flatMap((verdict) =>
      pathsOf(named, verdict).map((path) => new PathSource(path, verdict, reading)),
    ),
  ];
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
