import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findProgram, installHints } from '../../src/lab/programs.ts';

const script = fileURLToPath(new URL('../../scripts/setup', import.meta.url));
const searchPath = process.env['PATH'];
const inSbin = ['rspamd', 'redis-server'].some((name) => findProgram(name, '') !== undefined);
const all = [
  ...['rspamd', 'redis-server', 'runsvdir', 'sv', 'flock', 'openssl'],
  ...['promtool', 'docker-compose', 'systemd-analyze', 'busybox'],
];
let bare: string;

beforeEach(() => {
  // what the script itself needs and nothing else: no apt-get, so it installs nothing
  bare = mkdtempSync(join(tmpdir(), 'learnd-setup-test-'));
  for (const name of ['id', 'sort', 'tr']) {
    const path = findProgram(name, searchPath);
    if (path !== undefined) symlinkSync(path, join(bare, name));
  }
});

afterEach(() => {
  rmSync(bare, { recursive: true });
});

function setup(args: readonly string[], env: Record<string, string>): [number | null, string] {
  const { status, stdout } = spawnSync('/bin/sh', [script, ...args], { env, encoding: 'utf8' });
  return [status, stdout];
}

test.skipIf(inSbin)('where it can’t install it says in a line each what is missing', () => {
  const [status, output] = setup(['demo'], { PATH: bare });
  expect(status).toBe(0);
  const lines = output.trimEnd().split('\n');
  expect(lines).toHaveLength(2);
  for (const [index, program] of (['rspamd', 'redis-server'] as const).entries()) {
    for (const [, command] of installHints(program)) expect(lines[index]).toContain(command);
  }
});

test.skipIf(inSbin)('in continuous integration missing programs are a failure', () => {
  expect(setup(['demo'], { PATH: bare, CI: 'true' })[0]).toBe(1);
});

test.runIf(all.every((name) => findProgram(name, searchPath)))(
  'with everything there it prints nothing',
  () => {
    expect(setup(['test'], { PATH: searchPath ?? '' })).toEqual([0, '']);
  },
);

test('anything but demo and test is a usage error', () => {
  expect(setup(['all'], { PATH: bare })[0]).toBe(64);
});
