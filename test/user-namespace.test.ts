import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { needs } from './support/needs.ts';
import { callThrough } from './support/elsewhere.ts';
import { isRoot, temporaryFolder } from './support/temporary.ts';

/**
 * A rootless container: in its user namespace the host's users have no number, and show as 65534.
 * Made for real by unshare(1).
 */
const canUnshare =
  isRoot && spawnSync('unshare', ['--user', '--map-root-user', 'true']).status === 0;
const USER_NAMESPACE = needs('root that may make a user namespace', canUnshare);

/** A user of the host. */
const OUTSIDE = 23_451;

let lib: string;

beforeEach(() => {
  lib = `${temporaryFolder()}/spamd`;
  for (const place of [lib, `${lib}/spam`, `${lib}/ham`, `${lib}/.learnd`]) {
    mkdirSync(place);
    chmodSync(place, place.endsWith('.learnd') ? 0o700 : 0o755);
    chownSync(place, OUTSIDE, OUTSIDE);
  }
});

/** Runs a command in a user namespace that has no user but root. */
async function runInside(
  ...args: readonly string[]
): Promise<{ code: number | null; all: string }> {
  const PATH = process.env['PATH'] ?? '';
  const environment = { PATH, STATUS_LISTEN: 'off', KOPANO_SPAMD_LIB: lib };
  const through = ['unshare', '--user', '--map-root-user'];
  const { code, out, err } = await callThrough(through, { args, environment });
  return { code, all: out + err };
}

/** What nobody can do in there. */
const IMPOSSIBLE =
  /(?:learnd|daemon) as uid 65534|usermod|group_add|runuser -u nobody|-o (0|65534) |chown -R|chmod g\+/;
const CURE = /--userns=keep-id.*:U.*podman unshare chown/;

describe('in a container that leaves out the owner', USER_NAMESPACE, () => {
  test.each<[string, () => void]>([
    ['of all', () => undefined],
    [
      'of folders that are closed to others',
      () => {
        for (const name of ['spam', 'ham']) chmodSync(`${lib}/${name}`, 0o770);
      },
    ],
    [
      'of messages',
      () => {
        writeFileSync(`${lib}/spam/a.eml`, 'body');
        chownSync(`${lib}/spam/a.eml`, OUTSIDE, OUTSIDE);
        chmodSync(`${lib}/spam/a.eml`, 0o660);
      },
    ],
    [
      'of the spool, in which no state dir is yet',
      () => rmSync(`${lib}/.learnd`, { recursive: true }),
    ],
    ['of the spool, in which spam/ is missing', () => rmSync(`${lib}/spam`, { recursive: true })],
    ['of a spool that is closed to others', () => chmodSync(lib, 0o750)],
  ])('%s, no cure is impossible', async (_, change) => {
    change();
    const [doctor, watch] = [await runInside('doctor'), await runInside('watch', '--once')];
    expect([doctor.code, watch.code]).toEqual([1, 78]);
    for (const { all } of [doctor, watch]) {
      const line = all.replace(/\s+/g, ' ');
      expect(line).toMatch(CURE);
      expect(line).not.toMatch(IMPOSSIBLE);
    }
  });
});
