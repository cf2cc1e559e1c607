import { spawn } from 'node:child_process';
import { program } from './run.ts';

export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program with nothing in its environment but PATH and these variables. */
export function runCli(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  options: { readonly uid?: number; readonly gid?: number; readonly stdout?: number } = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const { stdout = 'pipe', ...user } = options;
    const child = spawn(process.execPath, [program(), ...args], {
      env: { PATH: process.env['PATH'] ?? '', STATUS_LISTEN: 'off', ...environment },
      stdio: ['ignore', stdout, 'pipe'],
      timeout: 120_000,
      ...user,
    });
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, out, err });
    });
  });
}
