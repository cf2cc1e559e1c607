import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { plainName } from '../../src/host.ts';
import { MOUNTS, ROOT } from '../support/needs.ts';
import { examine, nobody } from '../support/examine.ts';
import type { Account, Examination, Line } from '../support/examine.ts';
import { NOBODY, bindMount, isRoot, mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { put } from '../support/test-spool.ts';

/** Each fault is made for real, and the doctor is run as a process of its own. */

/** kopano-spamd's user and its `sa_group`, as numbers that no real user has. */
const KOPANO = { uid: 23_451, gid: 23_452 };

interface Spool {
  readonly lib: string;
  readonly stateDir: string;
}

/** A spool that an unprivileged daemon may use; where tests aren't root, our own. */
function makeSpool(parent = temporaryFolder()): Spool {
  const lib = `${parent}/spamd`;
  const stateDir = `${lib}/.learnd`;
  for (const place of [lib, `${lib}/spam`, `${lib}/ham`, stateDir, `${stateDir}/tmp`]) {
    mkdirSync(place, { recursive: true });
    chmodSync(place, place.startsWith(stateDir) ? 0o700 : 0o755);
    if (isRoot) chownSync(place, NOBODY, NOBODY);
  }
  return { lib, stateDir };
}

function see(
  spool: Spool,
  settings: Record<string, string> = {},
  as: Account = nobody,
): Promise<Examination> {
  return examine(
    { KOPANO_SPAMD_LIB: spool.lib, LEARN_STATE_DIR: spool.stateDir, ...settings },
    isRoot ? as : undefined,
  );
}

function only(seen: Examination, check: string): Line {
  const [line, ...more] = seen.of(check);
  expect(more).toEqual([]);
  if (line === undefined) throw new Error(`no line about ${check}`);
  return line;
}

/** What the doctor says of a fault, which it must call that. */
async function fault(spool: Spool, check: string, settings = {}, as?: Account): Promise<string> {
  const seen = await see(spool, settings, as);
  const { state, text } = only(seen, check);
  expect(state).toBe('failed');
  expect(seen.code).toBe(1);
  return text;
}

async function warningOf(spool: Spool, check: string, settings = {}): Promise<string> {
  const { state, text } = only(await see(spool, settings), check);
  expect(state).toBe('warning');
  return text;
}

/** Does what a cure says. */
function cure(text: string, command: RegExp): void {
  execFileSync('sh', ['-euc', command.exec(text)?.[0].replace(/ \(.*$/, '') ?? 'false']);
}

test('a spool without a fault has none, and is as it was', async () => {
  const spool = makeSpool();
  const file = put(`${spool.lib}/spam/a.eml`, 'x', 0o660);
  if (isRoot) chownSync(file, NOBODY, NOBODY);
  const before = statSync(`${spool.lib}/spam`, { bigint: true });
  const seen = await see(spool);
  const folderChecks = seen.lines.slice(
    0,
    seen.lines.findIndex(({ check }) => check.startsWith('http')),
  );
  expect(folderChecks.filter(({ state }) => !['ok', 'not tried'].includes(state))).toEqual([]);
  expect(only(seen, 'group').state).toBe('ok');
  expect(statSync(`${spool.lib}/spam`, { bigint: true }).mtimeNs).toBe(before.mtimeNs);
  expect(readdirSync(spool.stateDir, { recursive: true })).toEqual(['tmp']);
});

describe('the doctor finds', () => {
  test('a spool that is missing, and then tells nothing of the state dir in it', async () => {
    const spool = makeSpool();
    rmSync(spool.lib, { recursive: true });
    const text = await fault(spool, 'spool');
    expect(text).toMatch(
      /spamd is missing.*Cure: install -d -o \S+ .*start kopano-spamd.*KOPANO_SPAMD_LIB/,
    );
    // Two cures would undo each other.
    expect(only(await see(spool), 'state dir').state).toBe('not tried');
  });

  test.each([
    ['the spool', (spool: Spool) => spool.lib],
    ['a folder above it', (spool: Spool) => dirname(spool.lib)],
  ])('that %s may not be entered, and the cure helps', ROOT, async (_what, folderOf) => {
    const spool = makeSpool();
    const folder = folderOf(spool);
    chownSync(folder, KOPANO.uid, KOPANO.gid);
    chmodSync(folder, 0o750);
    const text = await fault(spool, 'spool');
    expect(text).toContain(`${folder} may not be entered by uid ${NOBODY}`);
    expect(only(await see(spool), 'state dir').state).toBe('not tried');
    cure(text, /chmod o\+x .*$/);
    expect(only(await see(spool), 'spool').state).toBe('ok');
    chmodSync(folder, 0o740);
    const member = { ...nobody, groups: [NOBODY, KOPANO.gid] };
    cure(await fault(spool, 'spool', {}, member), /chmod g\+x .*$/);
    expect(only(await see(spool, {}, member), 'spool').state).toBe('ok');
  });

  test('a class folder that is missing, with the line that makes it like its sibling', async () => {
    const spool = makeSpool();
    rmSync(`${spool.lib}/spam`, { recursive: true });
    chmodSync(`${spool.lib}/ham`, 0o2770);
    const { uid, gid } = statSync(`${spool.lib}/ham`);
    expect(await fault(spool, 'spam/')).toContain(
      `Cure: install -d -o ${plainName('uid', uid)} -g ${plainName('gid', gid)} -m 2770 ${spool.lib}/spam`,
    );
  });

  test('a class folder that is a symlink', async () => {
    const spool = makeSpool();
    rmSync(`${spool.lib}/ham`, { recursive: true });
    symlinkSync(`${spool.lib}/spam`, `${spool.lib}/ham`);
    const text = await fault(spool, 'ham/');
    expect(text).toMatch(/is a symlink to .*spam, and is not followed\. Cure: mv /);
    cure(text, /mv .*$/);
    expect(readlinkSync(`${spool.lib}/ham.old`)).toBe(`${spool.lib}/spam`);
    expect(only(await see(spool), 'ham/').state).toBe('ok');
  });

  test.each<[string, string, RegExp, (spool: Spool) => void]>([
    [
      'a class folder that may not be listed',
      'spam/',
      /may not be listed.*uid 23451, gid 23452, mode 0750.*Cure: chown --reference=/,
      ({ lib }) => {
        chownSync(`${lib}/spam`, KOPANO.uid, KOPANO.gid);
        chmodSync(`${lib}/spam`, 0o750);
      },
    ],
    [
      'a class folder that nothing can be moved out of',
      'ham/',
      /no message can be moved out.*uid 23451, gid 23452, mode 0755.*Cure: chmod g\+rwx \S+ (&& groupadd .* && usermod -aG learnd-23452 |\(let its group write, and give the container )/,
      ({ lib }) => chownSync(`${lib}/ham`, KOPANO.uid, KOPANO.gid),
    ],
    [
      'a class folder with the sticky bit',
      'ham/',
      /sticky.*Cure: chmod -t/,
      ({ lib }) => {
        chownSync(`${lib}/ham`, KOPANO.uid, NOBODY);
        chmodSync(`${lib}/ham`, 0o1770);
      },
    ],
    [
      'a state dir that nothing can be made in',
      'state dir',
      /EACCES.*Cure: chown -R .* u\+rwX/,
      ({ stateDir }) => chmodSync(stateDir, 0o500),
    ],
  ])('%s', ROOT, async (_, check, says, spoil) => {
    const spool = makeSpool();
    spoil(spool);
    expect(await fault(spool, check)).toMatch(says);
  });

  test('a volume that is read-only', MOUNTS, async () => {
    const parent = temporaryFolder();
    const spool = makeSpool(parent);
    bindMount(spool.lib, spool.lib);
    execFileSync('mount', ['-o', 'remount,bind,ro', spool.lib]);
    expect(await fault(spool, 'spam/')).toMatch(/read-only.*Cure: mount it writable/);
    expect(await fault(spool, 'state dir')).toMatch(/EROFS.*Cure: mount it writable/);
  });

  test('a spool that everybody may write to', async () => {
    const spool = makeSpool();
    chmodSync(`${spool.lib}/spam`, 0o777);
    const text = await warningOf(spool, 'write access');
    expect(text).toContain(`Cure: chmod o-w ${spool.lib}/spam`);
  });

  test('that the daemon’s user lacks the group of the files', ROOT, async () => {
    const spool = makeSpool();
    const file = put(`${spool.lib}/spam/a.eml`, 'x', 0o660);
    chownSync(file, KOPANO.uid, KOPANO.gid);
    const services = temporaryFolder();
    mkdirSync(`${services}/kopano-learnd/supervise`, { recursive: true });
    const text = await fault(spool, 'group', { SVDIR: services });
    expect(text).toContain(`uid ${KOPANO.uid}, gid ${KOPANO.gid}, mode 0660`);
    expect(text).toMatch(
      RegExp(
        `Cure: groupadd --gid 23452 learnd-23452 && usermod -aG learnd-23452 \\S+ && sv restart ${services}/kopano-learnd .*sa_group`,
      ),
    );
    const member = { ...nobody, groups: [NOBODY, KOPANO.gid] };
    expect(only(await see(spool, {}, member), 'group').state).toBe('ok');
  });

  test('that, of a user whom usermod does not know, in words alone', ROOT, async () => {
    const spool = makeSpool();
    const stranger = { uid: 23_999, gid: NOBODY, groups: [NOBODY] };
    for (const name of ['', '/spam', '/ham', '/.learnd', '/.learnd/tmp']) {
      chownSync(`${spool.lib}${name}`, stranger.uid, NOBODY);
    }
    const file = put(`${spool.lib}/spam/a.eml`, 'x', 0o660);
    chownSync(file, KOPANO.uid, KOPANO.gid);
    const services = temporaryFolder();
    mkdirSync(`${services}/kopano-learnd/supervise`, { recursive: true });
    const text = await fault(spool, 'group', { SVDIR: services }, stranger);
    expect(text).toContain("give the daemon's user the group 23452");
    expect(text).not.toContain('usermod');
  });

  test('nothing wrong with a file that is just being written', ROOT, async () => {
    const spool = makeSpool();
    const file = put(`${spool.lib}/spam/a.eml`, 'x', 0o600);
    chownSync(file, KOPANO.uid, KOPANO.gid);
    const later = Date.now() / 1_000 + 3_600; // however long the doctor takes to get there
    utimesSync(file, later, later);
    expect(only(await see(spool), 'group').state).toBe('not tried');
    utimesSync(file, 1_000, 1_000);
    expect(await fault(spool, 'group')).toMatch(/Cure: .*no read permission for its group/);
  });

  test('a state dir on another mount of the same file system', MOUNTS, async () => {
    const spool = makeSpool();
    const other = `${temporaryFolder()}/state`;
    bindMount(spool.stateDir, other);
    expect(await warningOf({ ...spool, stateDir: other }, 'file system')).toMatch(
      /another file system or mount.*copied.*Cure: set LEARN_STATE_DIR/,
    );
  });

  test.each([0o755, 0o700])(
    'a state dir that is somebody else’s, mode %o, or that it was called by the wrong user',
    ROOT,
    async (mode) => {
      const spool = makeSpool();
      chownSync(spool.stateDir, KOPANO.uid, KOPANO.gid);
      chmodSync(spool.stateDir, mode);
      const text = await fault(spool, 'state dir');
      expect(text).toContain(`belongs to uid ${KOPANO.uid}, but kopano-learnd runs as uid`);
      expect(text).toContain(
        `Cure: chown -R ${NOBODY}:${NOBODY} ${spool.stateDir} && chmod 0700 ${spool.stateDir} (run kopano-learnd as uid ${KOPANO.uid}, who owns it, or`,
      );
      expect(only(await see(spool), 'owner').state).toBe('not tried');
      // as the owner does
      const folder = openSync(`${spool.lib}/spam`, 'r');
      execFileSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', folder] });
      const owned = only(await see(spool), 'owner');
      closeSync(folder);
      expect(owned.text).toMatch(/a daemon of another user .* owns the spool: .*spam is locked/);
    },
  );

  test('a user who is a stranger to a spool that is in order', ROOT, async () => {
    const spool = makeSpool();
    for (const name of ['spam', 'ham', '.learnd']) {
      chownSync(`${spool.lib}/${name}`, KOPANO.uid, KOPANO.gid);
    }
    const text = await fault(spool, 'user');
    expect(text).toMatch(
      RegExp(`uid ${NOBODY} .* is that of uid ${KOPANO.uid}\\. Cure: say it as root`),
    );
    const seen = await see(spool);
    expect(seen.lines.filter(({ text: each }) => /chown|usermod|chmod/.test(each))).toEqual([]);
    expect(only(seen, 'spool').state).toBe('not tried');
  });

  test('a state dir that others can write', async () => {
    const spool = makeSpool();
    chmodSync(spool.stateDir, 0o2770);
    const seen = await see(spool);
    // The daemon mends it by itself; the doctor changes nothing.
    const [loose, ...others] = seen.of('state dir');
    expect(loose?.state).toBe('warning');
    expect(loose?.text).toMatch(/written by others \(mode 2770\).*Cure: .*chmod 0700/);
    expect(others.map(({ state }) => state)).toEqual(['ok']);
    expect(statSync(spool.stateDir).mode & 0o7777).toBe(0o2770);
    put(`${spool.stateDir}/somebody-elses`, '');
    expect(await fault(spool, 'state dir')).toMatch(/written by others.*a folder of its own/);
  });

  test('a state dir that can’t be made', ROOT, async () => {
    const spool = makeSpool();
    rmSync(spool.stateDir, { recursive: true });
    expect(only(await see(spool), 'state dir').state).toBe('ok');
    chownSync(spool.lib, KOPANO.uid, KOPANO.gid);
    expect(await fault(spool, 'state dir')).toContain(
      `Cure: install -d -o nobody -g nogroup -m 0700 ${spool.stateDir}`,
    );
    expect(readdirSync(spool.lib).sort()).toEqual(['ham', 'spam']);
  });

  test('a disk that is full, though it has names left', MOUNTS, async () => {
    const parent = temporaryFolder();
    mountTmpfs(`${parent}/disk`, 'size=1m');
    const spool = makeSpool(`${parent}/disk`);
    put(`${parent}/disk/filler`, Buffer.alloc(1_000_000));
    expect(await fault(spool, 'state dir')).toMatch(/ENOSPC.*Cure: make room/);
    expect(readdirSync(`${spool.stateDir}/tmp`)).toEqual([]);
  });

  test('that flock is missing', async () => {
    const spool = makeSpool();
    put(`${spool.stateDir}/owner.lock`, '', 0o600);
    if (isRoot) chownSync(`${spool.stateDir}/owner.lock`, NOBODY, NOBODY);
    const text = await fault(spool, 'owner', { PATH: spool.lib });
    expect(text).toMatch(/flock.*Cure: apt-get install util-linux \(install it/);
    const inside = { PATH: spool.lib, KUBERNETES_SERVICE_HOST: '127.0.0.1' };
    expect(await fault(spool, 'owner', inside)).toMatch(
      /install it; in its image; .*as root in the/,
    );
    chmodSync(`${spool.lib}/spam`, 0o777);
    expect(await warningOf(spool, 'write access', inside)).toMatch(
      /chmod .*, or on the host, where/,
    );
  });
});

describe('of further classes the doctor finds', () => {
  test('a folder that is missing, with the line that makes it like ham/', async () => {
    const spool = makeSpool();
    const seen = await see(spool, { LEARN_CLASSES: 'news' });
    const { uid, gid } = statSync(`${spool.lib}/ham`, { bigint: true });
    const whose = `-o ${plainName('uid', uid)} -g ${plainName('gid', gid)} -m 0755`;
    expect(only(seen, 'news/')).toMatchObject({
      state: 'failed',
      text: expect.stringContaining(`install -d ${whose} ${spool.lib}/news`) as string,
    });
    expect((await see(spool)).of('news/')).toEqual([]);
  });

  test('messages of one that is set no more', async () => {
    const spool = makeSpool();
    for (const place of ['queue', 'queue/news', 'queue/ham', 'queue/empty']) {
      mkdirSync(`${spool.stateDir}/${place}`);
    }
    put(`${spool.stateDir}/queue/news/a.eml`, 'x');
    put(`${spool.stateDir}/queue/ham/b.eml`, 'x');
    if (isRoot) execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, spool.stateDir]);
    const found = only(await see(spool), 'classes');
    expect(found.state).toBe('failed');
    expect(found.text).toMatch(
      /^1 message of the class news left in .*\/queue\/news, .*Cure: name news in LEARN_CLASSES/,
    );
    mkdirSync(`${spool.lib}/news`);
    expect((await see(spool, { LEARN_CLASSES: 'news' })).of('classes')).toEqual([]);
  });
});
