import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { INSTALL_HINTS } from '../demo/install-hints.ts';
import { findProgram } from '../src/servers/programs.ts';
import { needs, needsPrograms } from './support/needs.ts';

const script = fileURLToPath(new URL('../scripts/setup', import.meta.url));
const searchPath = process.env['PATH'];
const all = [
  ...['rspamd', 'redis-server', 'runsvdir', 'sv', 'flock', 'setpriv', 'prlimit', 'mount'],
  ...[
    'losetup',
    'mkfs.ext4',
    'openssl',
    'promtool',
    'docker-compose',
    'systemd-analyze',
    'busybox',
  ],
];
const NOT_IN_SBIN = needs(
  'servers that are in no sbin folder',
  ['rspamd', 'redis-server'].every((name) => findProgram(name, '') === undefined),
);
let bare: string;

beforeEach(() => {
  // what the script itself needs and nothing else: no apt-get, so it installs nothing
  bare = mkdtempSync(join(tmpdir(), 'learnd-setup-test-'));
  for (const name of ['id', 'node', 'sort', 'tr']) {
    const path = findProgram(name, searchPath);
    if (path !== undefined) symlinkSync(path, join(bare, name));
  }
});

afterEach(() => rmSync(bare, { recursive: true }));

function setup(
  args: readonly string[],
  env: Record<string, string>,
): [number | null, string, string] {
  const { status, stdout, stderr } = spawnSync('/bin/sh', [script, ...args], {
    env,
    encoding: 'utf8',
  });
  return [status, stdout, stderr];
}

test('where it can’t install it says in a line each what is missing', NOT_IN_SBIN, () => {
  const [status, output] = setup(['demo'], { PATH: bare });
  expect(status).toBe(1);
  const lines = output.trimEnd().split('\n');
  expect(lines).toHaveLength(2);
  for (const [index, program] of (['rspamd', 'redis-server'] as const).entries()) {
    for (const command of Object.values(INSTALL_HINTS[program])) {
      expect(lines[index]).toContain(command);
    }
  }
});

test('Valkey is enough where there is no Redis', NOT_IN_SBIN, () => {
  writeFileSync(join(bare, 'valkey-server'), '#!/bin/sh\n', { mode: 0o755 });
  const [, out, err] = setup(['demo'], { PATH: bare });
  expect(`${out}${err}`).toContain('missing: rspamd');
  expect(`${out}${err}`).not.toContain('redis-server');
});

test('the tests go on without programs, but not in continuous integration', NOT_IN_SBIN, () => {
  expect(setup(['test'], { PATH: bare })[0]).toBe(0);
  expect(setup(['test'], { PATH: bare, CI: 'true' })[0]).toBe(1);
});

test('it says in a line that Node.js is too old', () => {
  rmSync(join(bare, 'node'));
  const old = "Object.defineProperty(process.versions, 'node', { value: '20.18.3' })";
  const node = `#!/bin/sh\nexec '${process.execPath}' --import "data:text/javascript,${old}" "$@"\n`;
  writeFileSync(join(bare, 'node'), node, { mode: 0o755 });
  const [status, , err] = setup(['bundle'], { PATH: bare });
  expect(status).toBe(1);
  expect(err).toMatch(/^needs Node\.js 20\.19 or later; this is 20\.18\.3 \(.*\)\n$/);
});

test('with everything there it prints nothing', needsPrograms(...all), () => {
  expect(setup(['test'], { PATH: searchPath ?? '' })).toEqual([0, '', '']);
});

test('anything but demo, test and bundle is a usage error', () => {
  expect(setup(['all'], { PATH: bare })[0]).toBe(64);
});
