import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { alternate, expectedOf } from './sources/alternate.ts';

import type { Source } from './sources/source.ts';
import type { RunStats } from './stats.ts';
import { folderLines, inPlainWords, wrapped } from './summary.ts';

/** `--dry-run`: reads everything, says what would be learned, and posts nothing. */
export interface DryRunOptions {
  readonly sources: readonly Source[];
  readonly stats: RunStats;
  /** So many messages are read at most. */
  readonly limit: number;
  readonly stop: AbortSignal;
  readonly json: boolean;
  /** How wide the text may be. */
  readonly columns: number;
  readonly out: (text: string) => void;
}

const NONE = { messages: 0, notMail: 0, passedOver: 0, failed: 0, older: 0, doneBefore: 0 };
const OTHERS = ['notMail', 'passedOver', 'failed', 'older', 'doneBefore'] as const;
type SourceCounts = ReadonlyMap<Source, typeof NONE>;

export async function dryRun(options: DryRunOptions): Promise<ExitCode> {
  const { sources, stats, stop, json, columns, out } = options;
  const counts: SourceCounts = new Map(sources.map((source) => [source, { ...NONE }]));
  try {
    await readAll(options, counts);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  const end = stats.total('failed') > 0 ? EXIT.failure : EXIT.done;
  const exitCode = stop.aborted ? EXIT.temporary : end;
  const text = inWords(counts, stats, stop.aborted);
  out(json ? `${JSON.stringify(asJson(counts, stats, exitCode))}\n` : wrapped(text, columns));
  return exitCode;
}

async function readAll(
  { sources, stats, limit, stop }: DryRunOptions,
  counts: SourceCounts,
): Promise<void> {
  let messages = 0;
  await Promise.all(sources.map((source) => source.count(stop)));
  for await (const { source, found } of alternate(sources, expectedOf)) {
    if (stop.aborted || (found.kind === 'message' && messages === limit)) break;
    if (found.kind === 'message') messages += 1;
    stats.found(found, source.verdict);
    const count = counts.get(source) ?? { ...NONE };
    count[found.kind === 'message' ? 'messages' : found.kind] += 1;
  }
}

function asJson(counts: SourceCounts, stats: RunStats, exitCode: ExitCode): object {
  const { notMail, passedOver, failed } = stats.names;
  return {
    dryRun: true,
    sources: [...counts].map(([{ name, verdict }, count]) => ({ source: name, verdict, ...count })),
    names: { notMail, passedOver, failed },
    folders: stats.folders,
    exitCode,
  };
}

function inWords(
  counts: SourceCounts,
  { names, folders }: RunStats,
  isInterrupted: boolean,
): string[] {
  const perSource = [...counts].map(([{ name, verdict }, count]) => {
    const others = OTHERS.filter((kind) => count[kind] > 0);
    const extra = others.map((kind) => `, ${count[kind]} ${inPlainWords(kind)}`).join('');
    return `  ${verdict.padEnd(5)}${String(count.messages).padStart(9)}  ${name}${extra}`;
  });
  const named = [...names.notMail, ...names.passedOver, ...names.failed];
  return [
    isInterrupted
      ? 'Interrupted, and not everything was read. Nothing was posted. What would be, so far:'
      : 'Nothing was posted. What would be:',
    '',
    ...perSource,
    ...named.map(({ place, reason }) => `  ${place}: ${reason}`),
    ...folderLines(folders),
  ];
}
