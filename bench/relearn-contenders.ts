/**
 * Who takes part in the relearn benchmark: the command lines, and how each one's output is read.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runClient, type ClientRun } from './client-run.ts';
import { BUNDLE, inScratch } from './scratch.ts';

const BARE_POSTS_SCRIPT = fileURLToPath(new URL('bare-posts.js', import.meta.url));

/** How a client's messages ended, by its own word. */
interface Told {
  readonly learned: number;
  readonly known: number;
  readonly refused: number;
  readonly failed: number;
}

/** A run of one contender. */
export interface Finish {
  /** From the start of the process to its last message. */
  readonly wallMs: number;
  /** What it waited afterwards for `/stat` to confirm. */
  readonly confirmingMs: number;
  readonly cpuMs: number;
  readonly peakMb: number;
  readonly told: Told;
}

export interface Contender {
  readonly name: string;
  readonly run: (course: Course) => Promise<Finish>;
}

/** What is to be learned, and where. */
interface Course {
  /** Holds `spam/` and `ham/`. */
  readonly corpus: string;
  /** The controller's port on the loopback address. */
  readonly port: number;
}

/** This project's command, as a build has it. */
export function relearn(name: string, bundle: string): Contender {
  return {
    name,
    run: ({ corpus, port }) =>
      inScratch(async (folder) => {
        const lib = join(folder, 'lib');
        mkdirSync(lib);
        const { wallMs, cpuMs, peakMb, ...printed } = await runClient({
          program: process.execPath,
          args: [bundle, 'relearn', '--json', corpus],
          folder,
          environment: { RSPAMD_URL: `http://127.0.0.1:${port}`, KOPANO_SPAMD_LIB: lib },
        });
        const summary = summaryOf(printed) as RelearnSummary;
        const confirmingMs = summary.seconds.confirming * 1_000;
        return {
          wallMs: wallMs - confirmingMs,
          confirmingMs,
          cpuMs,
          peakMb,
          told: {
            learned: sumOf(summary.learned),
            known: sumOf(summary.known),
            refused: sumOf(summary.refused),
            failed: sumOf(summary.failed),
          },
        };
      }),
  };
}

export const OURS = relearn('relearn', BUNDLE);

/** rspamd's own client: all spam, then all ham, `parallel` posts at a time. */
export function rspamc(parallel: number): Contender {
  return {
    name: `rspamc -n ${parallel}`,
    run: ({ corpus, port }) =>
      inScratch(async (folder) => {
        const runs: ClientRun[] = [];
        for (const verdict of ['spam', 'ham']) {
          const target = ['-h', `127.0.0.1:${port}`, '-n', String(parallel)];
          const bulk = ['--header', 'Learn-Type=bulk'];
          const what = [`learn_${verdict}`, join(corpus, verdict)];
          runs.push(
            await runClient({ program: 'rspamc', args: [...target, ...bulk, ...what], folder }),
          );
        }
        return {
          wallMs: sumOf(runs.map(({ wallMs }) => wallMs)),
          confirmingMs: 0,
          cpuMs: sumOf(runs.map(({ cpuMs }) => cpuMs)),
          peakMb: Math.max(...runs.map(({ peakMb }) => peakMb)),
          told: toldByRspamc(runs.map(({ stdout }) => stdout).join('\n')),
        };
      }),
  };
}

/**
 * The ceiling: a loop that posts from memory, asks nothing and proves nothing. In both orders: with
 * the classes mixed Bayes is active after a few hundred messages, and rspamd then also looks up the
 * words of each message before it learns it; with all spam first only when the ham begins.
 */
export function barePosts(order: 'mixed' | 'spam-first'): Contender {
  return {
    name: `bare posts, ${order}`,
    run: ({ corpus, port }) =>
      inScratch(async (folder) => {
        const args = [BARE_POSTS_SCRIPT, String(port), corpus, order];
        const run = await runClient({ program: process.execPath, args, folder });
        // its own figures leave out the start of Node.js and the reading of the files
        const printed = summaryOf(run) as Told & Pick<Finish, 'wallMs' | 'cpuMs'>;
        const { wallMs, cpuMs, ...told } = printed;
        return { wallMs, confirmingMs: 0, cpuMs, peakMb: run.peakMb, told };
      }),
  };
}

type Printed = 'code' | 'stdout' | 'stderr';

interface RelearnSummary {
  readonly learned: Readonly<Record<string, number>>;
  readonly known: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  readonly seconds: { readonly learning: number; readonly confirming: number };
}

/** The one JSON value on its standard output. */
function summaryOf({ code, stdout, stderr }: Pick<ClientRun, Printed>): unknown {
  try {
    return JSON.parse(stdout);
  } catch (error) {
    const end = stderr.slice(-2_000);
    throw new Error(`no summary, exit code ${code}:\n${end}`, { cause: error });
  }
}

/** One result for each message, with a line for its outcome (rspamd 3.4). */
function toldByRspamc(output: string): Told {
  const count = (pattern: RegExp): number => output.match(pattern)?.length ?? 0;
  const learned = count(/^success = true;$/gm);
  const known = count(/^error = ".* has been already learned as (spam|ham), ignore it";$/gm);
  return {
    learned,
    known,
    refused: count(/^error = /gm) - known,
    failed: count(/^Results for file: /gm) - learned - count(/^error = /gm),
  };
}

function sumOf(numbers: readonly number[] | Readonly<Record<string, number>>): number {
  return Object.values(numbers).reduce((sum, number) => sum + number, 0);
}
