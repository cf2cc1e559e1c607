/**
 * A client program from its start to its end: wall clock, CPU time, peak memory, what it printed.
 *
 * Node.js doesn't tell what a child has used, so a shell starts the program, waits for it and prints
 * its own `times`: user and system time of the program and of all that it waited for, exact to the
 * clock tick (10 ms with most shells). Peak memory is the kernel's high-water mark, read every
 * 50 ms: what a program takes in its very last moments is missed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ServerProcess } from '../src/servers/server-process.ts';
import { memoryOf } from './process-figures.ts';

const PEAK_POLL_MS = 50;

/** Prints the program's process id, then the shell's times, the program's, and its exit code. */
const SCRIPT = `
output=$1; shift
"$@" >"$output" & program=$!
echo "$program"
wait "$program"; code=$?
times
echo "$code"`;

/** What to run and where. */
interface ClientCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Gets the files `stdout` and `stderr`. */
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a client's run came to. */
export interface ClientRun {
  readonly wallMs: number;
  /** User and system time. */
  readonly cpuMs: number;
  readonly peakMb: number;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a shell answers for a program that it can't execute, or can't find. */
const NOT_RUN = [126, 127];

/**
 * Runs the program to its end; any exit code of its own is an answer.
 *
 * @throws when it can't be run
 */
export async function runClient(command: ClientCommand): Promise<ClientRun> {
  const { folder } = command;
  const stdout = join(folder, 'stdout');
  const lines: string[] = [];
  const start = performance.now();
  let end = NaN;
  const shell = await ServerProcess.start({
    program: '/bin/sh',
    args: ['-c', SCRIPT, 'client-run', stdout, command.program, ...command.args],
    cwd: folder,
    outputFile: join(folder, 'stderr'),
    onLine: (line) => {
      end = performance.now();
      lines.push(line);
    },
    environment: { PATH: process.env['PATH'] ?? '', ...command.environment },
  });
  let peakMb = 0;
  const poll = setInterval(() => {
    peakMb = peakOf(Number(lines[0])) ?? peakMb;
  }, PEAK_POLL_MS);
  try {
    await shell.ended;
  } finally {
    clearInterval(poll);
    await shell.kill();
  }
  const [, , times = '', code = ''] = lines;
  const stderr = readFileSync(join(folder, 'stderr'), 'utf8');
  if (NOT_RUN.includes(Number(code))) throw new Error(`${command.program} can't be run: ${stderr}`);
  return {
    wallMs: end - start,
    cpuMs: cpuMsIn(times),
    peakMb,
    code: Number(code),
    stdout: readFileSync(stdout, 'utf8'),
    stderr,
  };
}

/** Of a line such as `0m1.230000s 0m0.450000s`. */
function cpuMsIn(times: string): number {
  const parts = [...times.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`not the times of a shell: ${times}`);
  return parts.reduce((sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1_000, 0);
}

/** Undefined when the process has ended. */
function peakOf(pid: number): number | undefined {
  try {
    return memoryOf(pid).peakMb;
  } catch {
    return undefined;
  }
}
