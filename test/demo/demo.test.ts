import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { demo } from '../../demo/demo.ts';
import { findProgram } from '../../src/servers/programs.ts';
import { describeReal } from '../real/harness.ts';
import { asOneself, makeDemo, program } from '../support/run.ts';
import { TIME, needs } from '../support/needs.ts';

const searchPath = process.env['PATH'] ?? '';
const ours: [string, ...string[]] = [process.execPath, program(), ...asOneself()];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'learnd-demo-test-'));
  await chmod(folder, 0o755);
  vi.stubEnv('TMPDIR', folder);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** Neither a file nor a process: every server of the demo works in a folder of its own below. */
async function expectNothingLeft(): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const folders = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')),
  );
  expect(folders.filter((cwd) => cwd.startsWith(folder))).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
}

async function tell(options: Partial<Parameters<typeof demo>[0]>): Promise<[number, string]> {
  let text = '';
  const signal = new AbortController().signal;
  const write = (part: string): void => {
    text += part;
  };
  const usual = { signal, searchPath, write, program: ours, keep: false };
  const exitCode = await demo({ ...usual, ...options });
  return [exitCode, text];
}

// a system that keeps its servers in an sbin folder has them on every PATH
const outsideSbin = ['rspamd', 'redis-server'].every((name) => findProgram(name, '') === undefined);

test(
  'without the servers it says how each is installed on three systems and fails',
  needs('servers that are in no sbin folder', outsideSbin),
  async () => {
    const [exitCode, text] = await tell({ searchPath: folder });
    expect(exitCode).toBe(1);
    for (const program of ['rspamd', 'redis-server']) expect(text).toContain(`needs ${program}`);
    for (const system of ['Debian', 'Alpine', 'Fedora']) expect(text.split(system)).toHaveLength(3);
    expect(await readdir(folder)).toEqual([]);
  },
);

describeReal('with the servers', TIME, () => {
  test('it ends with 0, spam and ham told apart, and nothing left', async () => {
    const env = { PATH: searchPath, TMPDIR: folder };
    // As careful as some servers have root.
    const words = ['-c', 'umask 077; exec "$@"', 'sh', process.execPath, makeDemo()];
    const { stdout } = await promisify(execFile)('/bin/sh', words, { env });
    expect(stdout).toMatch(/ham .*Bayes: no opinion/);
    expect(stdout).toMatch(/spam .*Bayes: spam, \d/);
    expect(stdout).toMatch(/ham .*Bayes: ham, \d/);
    expect(stdout).toContain('Every message was learned and removed');
    const second = /\n6\. The other filter: (.*\n.*\n.*)/.exec(stdout)?.[1] ?? '';
    if (findProgram('spamd', searchPath) === undefined) expect(second).toMatch(/: left out, /);
    else
      expect(second).toMatch(/has learned 20 messages .*\n.* 10 spam, 10 ham; .* 9 spam, 11 ham/);
    const worth = /\n7\. What it is worth: .*\n((?: {2}.*\n){5})\n/.exec(stdout)?.[1];
    expect(worth).toMatch(
      /440 messages, 219 spam and 221 ham[^]*spam caught[^]*disputed: \d+,.* ham, "/,
    );
    await expectNothingLeft();
  }, 120_000);

  test('with --keep all of it runs on until the signal, and then nothing is left', async () => {
    const abort = new AbortController();
    const health: (string | number)[] = [];
    const write = (part: string): void => {
      // Not before the signal.
      if (part.startsWith('Stopped')) health.push(String(abort.signal.aborted));
      const page = /Everything runs on: look at (\S+)/.exec(part)?.[1];
      if (page === undefined) return;
      void fetch(`${page}healthz`)
        .then(({ status }) => health.push(status), String)
        .finally(() => abort.abort());
    };
    const [exitCode] = await tell({ keep: true, signal: abort.signal, write });
    expect(exitCode).toBe(0);
    expect(health).toEqual([200, 'true']);
    await expectNothingLeft();
  }, 120_000);

  test('interrupted, it fails and leaves nothing', async () => {
    const abort = new AbortController();
    const write = (part: string): void => {
      if (part.startsWith('3.')) setTimeout(() => abort.abort(), 300);
    };
    const [exitCode] = await tell({ signal: abort.signal, write });
    expect(exitCode).toBe(1);
    await expectNothingLeft();
  });

  test('a daemon that ends is a failure with its last words, and leaves nothing', async () => {
    const broken = ['/bin/sh', '-c', 'echo no flock here >&2; exit 3'] as const;
    const [exitCode, text] = await tell({ program: [...broken] });
    expect(exitCode).toBe(1);
    expect(text).toContain('no flock here');
    await expectNothingLeft();
  });
});
