import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/doctor/finding.ts';
import { ROOT } from '../../support/needs.ts';
import { program } from '../../support/run.ts';
import { NOBODY, temporaryFolder } from '../../support/temporary.ts';

/**
 * The commands that the doctor prints, pasted by root: the next doctor doesn't name the fault any more.
 * By the built program, which becomes the spool's owner by itself.
 */

/** A user with a name and groups, as kopano-spamd's is. */
const KOPANO = { uid: NOBODY, gid: NOBODY };

/** @param name of its folder */
function makeSpool(name: string): string {
  const lib = join(temporaryFolder(), name);
  for (const place of ['', '/spam', '/ham', '/.learnd', '/.learnd/tmp']) {
    mkdirSync(`${lib}${place}`, { recursive: true });
    chmodSync(`${lib}${place}`, place.startsWith('/.learnd') ? 0o700 : 0o755);
    chownSync(`${lib}${place}`, KOPANO.uid, KOPANO.gid);
  }
  return lib;
}

function problems(lib: string): readonly Finding[] {
  const { stdout } = spawnSync(process.execPath, [program(), 'doctor', '--json'], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'] ?? '',
      KOPANO_SPAMD_LIB: lib,
      STATUS_LISTEN: 'off',
      RSPAMD_URL: 'http://127.0.0.1:9',
    },
  });
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly Finding[] };
  return checks.filter(
    ({ state, check }) => (state === 'failed' || state === 'warning') && !check.includes('://'),
  );
}

const FAULTS: [string, (lib: string) => void][] = [
  [
    'spam/ is root’s',
    (lib) => {
      chownSync(`${lib}/spam`, 0, 0);
    },
  ],
  [
    'spam/ is root’s, and closed',
    (lib) => {
      chownSync(`${lib}/spam`, 0, 0);
      chmodSync(`${lib}/spam`, 0o750);
    },
  ],
  [
    'ham/ is root’s',
    (lib) => {
      chownSync(`${lib}/ham`, 0, 0);
    },
  ],
  [
    'spam/ is missing',
    (lib) => {
      rmSync(`${lib}/spam`, { recursive: true });
    },
  ],
  [
    'spam/ is everybody’s',
    (lib) => {
      chmodSync(`${lib}/spam`, 0o777);
    },
  ],
  [
    'spam/ is sticky, and another’s',
    (lib) => {
      chownSync(`${lib}/spam`, 12_345, KOPANO.gid);
      chmodSync(`${lib}/spam`, 0o1775);
    },
  ],
  [
    'the spool may not be entered',
    (lib) => {
      chownSync(lib, 0, 0);
      chmodSync(lib, 0o700);
    },
  ],
  [
    'the state dir is root’s',
    (lib) => {
      chownSync(`${lib}/.learnd`, 0, 0);
    },
  ],
  [
    'the state dir is missing, and can’t be made',
    (lib) => {
      rmSync(`${lib}/.learnd`, { recursive: true });
      chownSync(lib, 0, 0);
    },
  ],
  [
    'the state dir is read-only',
    (lib) => {
      chmodSync(`${lib}/.learnd`, 0o500);
      chmodSync(`${lib}/.learnd/tmp`, 0o500);
    },
  ],
  [
    'the state dir is open to others',
    (lib) => {
      chmodSync(`${lib}/.learnd`, 0o770);
    },
  ],
  [
    'spam/ is a symlink',
    (lib) => {
      renameSync(`${lib}/spam`, `${lib}/real`);
      symlinkSync('real', `${lib}/spam`);
    },
  ],
  [
    'ham/ is a file',
    (lib) => {
      rmSync(`${lib}/ham`, { recursive: true });
      writeFileSync(`${lib}/ham`, 'somebody wants this');
    },
  ],
];

describe.each(['spamd', "a spool's $(folder)"])('in a folder that is called %s', (name) => {
  test.each(FAULTS)('%s', ROOT, (_, spoil) => {
    const lib = makeSpool(name);
    expect(problems(lib)).toEqual([]);
    spoil(lib);
    const found = problems(lib);
    expect(found).not.toEqual([]);
    for (const { command } of found) {
      expect(command).toBeDefined();
      expect(command).not.toMatch(/\broot\b|chown -?\w* ?0/);
      expect(spawnSync('sh', ['-euc', command ?? 'false']).status).toBe(0);
    }
    expect(problems(lib)).toEqual([]);
  });
});
