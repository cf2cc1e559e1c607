import type { CommandOptions } from '../command-options.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { alternate, expectedOf } from './sources/alternate.ts';
import type { Source } from './sources/source.ts';
import type { RunStats } from './stats.ts';
import { folderLines, inPlainWords, wrapped } from './summary.ts';

interface DryRunOptions extends Pick<CommandOptions, 'stop' | 'out' | 'terminal'> {
  readonly sources: readonly Source[];
  readonly stats: RunStats;
  /** So many messages are read at most. */
  readonly limit: number;
  readonly json: boolean;
}

const NONE = { messages: 0, notMail: 0, passedOver: 0, failed: 0, older: 0, doneBefore: 0 };
const OTHERS = ['notMail', 'passedOver', 'failed', 'older', 'doneBefore'] as const;
type SourceCounts = ReadonlyMap<Source, typeof NONE>;

/** `--dry-run`: reads everything, says what would be learned, and posts nothing. */
export async function dryRun(options: DryRunOptions): Promise<ExitCode> {
  const { sources, stats, stop, json, terminal, out } = options;
  const counts: SourceCounts = new Map(sources.map((source) => [source, { ...NONE }]));
  try {
    await readAll(options, counts);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  const end = stats.total('failed') > 0 ? EXIT.failure : EXIT.done;
  const exitCode = stop.aborted ? EXIT.temporary : end;
  if (json) out(`${JSON.stringify(asJson(counts, stats, exitCode))}\n`);
  else out(wrapped(inWords(counts, stats, stop.aborted), terminal?.columns ?? Infinity));
  return exitCode;
}

async function readAll(
  { sources, stats, limit, stop }: DryRunOptions,
  counts: SourceCounts,
): Promise<void> {
  let messages = 0;
  await Promise.all(sources.map((source) => source.count(stop)));
  for await (const { source, found } of alternate(sources, expectedOf)) {
    const isMessage = found.kind === 'message';
    if (stop.aborted || (isMessage && messages === limit)) break;
    if (isMessage) messages += 1;
    stats.found(found, source.verdict);
    const count = counts.get(source) ?? { ...NONE };
    count[isMessage ? 'messages' : found.kind] += 1;
  }
}

function asJson(
  counts: SourceCounts,
  { names: { notMail, passedOver, failed }, folders }: RunStats,
  exitCode: ExitCode,
): object {
  return {
    dryRun: true,
    sources: [...counts].map(([{ name, verdict }, count]) => ({ source: name, verdict, ...count })),
    names: { notMail, passedOver, failed },
    folders,
    exitCode,
  };
}

function inWords(
  counts: SourceCounts,
  { names: { notMail, passedOver, failed }, folders }: RunStats,
  isInterrupted: boolean,
): string[] {
  return [
    isInterrupted
      ? 'Interrupted, and not everything was read. Nothing was posted. What would be, so far:'
      : 'Nothing was posted. What would be:',
    '',
    ...[...counts].map(([{ name, verdict }, count]) => {
      const others = OTHERS.filter((kind) => count[kind] > 0);
      const extra = others.map((kind) => `, ${count[kind]} ${inPlainWords(kind)}`).join('');
      return `  ${verdict.padEnd(5)}${String(count.messages).padStart(9)}  ${name}${extra}`;
    }),
    ...[...notMail, ...passedOver, ...failed].map(({ place, reason }) => `  ${place}: ${reason}`),
    ...folderLines(folders),
  ];
}
