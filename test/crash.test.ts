import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { asOneself, program } from './support/run.ts';
import { start } from './support/run-cli.ts';
import type { Result } from './support/run-cli.ts';
import { TestSpool } from './support/test-spool.ts';

/** How the built program ends by an error that nobody caught: never by Node's own trace. */

const MAIL = 'Dear Erika';

/** Runs the program with this done beside it. */
function runWith(
  script: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const preload = `data:text/javascript,${encodeURIComponent(script)}`;
  const PATH = process.env['PATH'] ?? '';
  return start(
    args,
    { PATH, STATUS_LISTEN: 'off', ...environment },
    { node: ['--import', preload] },
  );
}

/** Throws, or rejects, as soon as the daemon has said that it owns the spool. */
function afterItsStart(act: string): string {
  return `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const { writeSync } = fs;
    fs.writeSync = (...given) => {
      if (String(given[1]).includes('daemon.owner')) setTimeout(() => { ${act} }, 1);
      return writeSync(...given);
    };
    syncBuiltinESMExports();`;
}

test.each([
  ['thrown in a timer', `throw new TypeError('${MAIL}')`],
  ['of a promise that nobody awaits', `Promise.reject(new TypeError('${MAIL}'))`],
])('an error %s ends the daemon with a line of its log and exit code 1', async (_, act) => {
  const { lib } = new TestSpool();
  const { code, out, err } = await runWith(afterItsStart(act), ['watch'], {
    KOPANO_SPAMD_LIB: lib,
    RSPAMD_URL: 'http://127.0.0.1:9',
  });
  expect({ code, err }).toEqual({ code: 1, err: '' });
  const last = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;
  expect(last).toMatchObject({ event: 'daemon.bug', level: 3, error: 'TypeError' });
  expect(out).not.toContain('Erika');
});

test.each([['status'], ['health']])(
  'an error that %s did not foresee is told in words, with exit code 1',
  async (command) => {
    const act = `throw Object.assign(new TypeError('${MAIL}'), { password: 'hunter2' })`;
    // As soon as the program listens for it.
    const script = `
      const { on } = process;
      process.on = (name, callback) => {
        if (name === 'uncaughtException') queueMicrotask(() => { ${act} });
        return on.call(process, name, callback);
      };`;
    const { code, out, err } = await runWith(script, [command]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(
      /^kopano-learnd: an error of the program itself: TypeError\n(?: {4}at .*\n)*Please report it/,
    );
    expect(err).not.toMatch(/Erika|hunter2/);
  },
);

test('a reader of standard error that goes away ends no command', async () => {
  // The first one is told, and then the second one is waited for.
  const sources = ['--spam', '/no/such/file', '--ham', '-'];
  // A pipe of the shell's, as Node's own are sockets; both go to the test by descriptor 3.
  const script = '{ "$@"; echo "exit code $?"; } 2>&1 >&3 | true';
  const words = [process.execPath, program(), ...asOneself(), 'relearn', '--dry-run', ...sources];
  const child = spawn('sh', ['-c', script, 'sh', ...words], {
    env: { PATH: process.env['PATH'] ?? '', STATUS_LISTEN: 'off' },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const out = await text(child.stdio[3] as Readable);
  expect(out).toMatch(/^Nothing was posted\.[^]*\nexit code 1\n$/);
});
