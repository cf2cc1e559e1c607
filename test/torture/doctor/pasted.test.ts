import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
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

/** Each is made by root in the spool. */
const FAULTS: Readonly<Record<string, string>> = {
  'spam/ is root’s': 'chown 0:0 spam',
  'spam/ is root’s, and closed': 'chown 0:0 spam; chmod 750 spam',
  'ham/ is root’s': 'chown 0:0 ham',
  'spam/ is missing': 'rmdir spam',
  'spam/ is everybody’s': 'chmod 777 spam',
  'spam/ is sticky, and another’s': `chown 12345:${KOPANO.gid} spam; chmod 1775 spam`,
  'the spool may not be entered': 'chown 0:0 .; chmod 700 .',
  'the state dir is root’s': 'chown 0:0 .learnd',
  'the state dir is missing, and can’t be made': 'rm -r .learnd; chown 0:0 .',
  'the state dir is read-only': 'chmod 500 .learnd .learnd/tmp',
  'the state dir is open to others': 'chmod 770 .learnd',
  'spam/ is a symlink': 'mv spam real; ln -s real spam',
  'ham/ is a file': 'rmdir ham; echo somebody wants this >ham',
};

describe.each(['spamd', "a spool's $(folder)"])('in a folder that is called %s', (name) => {
  test.each(Object.entries(FAULTS))('%s', ROOT, (_, fault) => {
    const lib = makeSpool(name);
    expect(problems(lib)).toEqual([]);
    execFileSync('sh', ['-euc', fault], { cwd: lib });
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
