import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { alternate } from './sources/alternate.ts';
import type { Found, Source } from './sources/source.ts';
import type { RunStats } from './stats.ts';
import { folderLines, unwrappedLines } from './summary.ts';

/** `--dry-run`: reads everything, says what would be learned, and posts nothing. */

const FOUND_AS = {
  message: 'messages',
  skipped: 'notMail',
  passed: 'passedOver',
  failed: 'failed',
  older: 'older',
  done: 'doneBefore',
} as const satisfies Readonly<Record<Found['kind'], string>>;

type DryCounts = Record<(typeof FOUND_AS)[Found['kind']], number>;

const NONE: Readonly<DryCounts> = {
  ...{ messages: 0, notMail: 0, passedOver: 0 },
  ...{ failed: 0, older: 0, doneBefore: 0 },
};

/** The results whose names are shown. */
const NAMED = ['notMail', 'passedOver', 'failed'] as const;

export interface DryRunOptions {
  readonly sources: readonly Source[];
  readonly stats: RunStats;
  /** So many messages are read at most. */
  readonly limit: number;
  readonly stop: AbortSignal;
  readonly json: boolean;
  readonly out: (text: string) => void;
}

export async function dryRun(options: DryRunOptions): Promise<ExitCode> {
  const { sources, stats, limit, stop, json, out } = options;
  const counts = new Map<Source, DryCounts>(sources.map((source) => [source, { ...NONE }]));
  let messages = 0;
  for await (const { source, found } of alternate(sources)) {
    if (stop.aborted || (found.kind === 'message' && messages === limit)) break;
    if (found.kind === 'message') messages += 1;
    stats.found(found, source.verdict);
    const count = counts.get(source);
    if (count !== undefined) count[FOUND_AS[found.kind]] += 1;
  }
  const exitCode = stats.total('failed') > 0 ? EXIT.failure : EXIT.done;
  out(
    json
      ? `${JSON.stringify(dryRunAsJson(counts, stats, exitCode))}\n`
      : dryRunInWords(counts, stats),
  );
  return exitCode;
}

type SourceCounts = ReadonlyMap<Source, Readonly<DryCounts>>;

function dryRunAsJson(counts: SourceCounts, stats: RunStats, exitCode: ExitCode): object {
  const { notMail, passedOver, failed } = stats.names;
  return {
    dryRun: true,
    sources: [...counts].map(([{ name, verdict }, count]) => ({ source: name, verdict, ...count })),
    names: { notMail, passedOver, failed },
    unwrapped: stats.unwrapped,
    folders: stats.folders,
    exitCode,
  };
}

function dryRunInWords(counts: SourceCounts, stats: RunStats): string {
  const lines = ['Nothing was posted. What would be:', ''];
  for (const [{ name, verdict }, { messages, ...others }] of counts) {
    const rest = [
      [others.doneBefore, 'done before'],
      [others.older, 'older copies'],
      [others.notMail, 'not mail'],
      [others.passedOver, 'passed over'],
      [others.failed, 'failed'],
    ] as const;
    const extra = rest.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
    lines.push(`  ${verdict.padEnd(5)}${String(messages).padStart(9)}  ${name}${extra.join('')}`);
  }
  const named = NAMED.flatMap((result) => stats.names[result]);
  lines.push(
    ...named.map(({ place, reason }) => `  ${place}: ${reason}`),
    ...unwrappedLines(stats.unwrapped),
    ...folderLines(stats.folders),
  );
  return `${lines.join('\n')}\n`;
}
