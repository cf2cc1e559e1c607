import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { DoneLog } from '../../src/daemon/done-log.ts';
import { FIGURES_FILE } from '../../src/daemon/learned-figures.ts';
import { FILTERS } from '../../src/filter.ts';
import { LOCK_FILE } from '../../src/spool/owner.ts';
import { openStateDir } from '../../src/spool/state-dir.ts';
import { HISTORY_FILE } from '../../src/status/history.ts';
import { SOCKET_FILE } from '../../src/status/socket.ts';
import { projectFile, run } from './bundle.ts';
import { makeStage } from './shells.ts';

/** The maintainer's scripts of the Debian package, in folders of the test's own. */
let folder: string;
let lib: string;

beforeEach(async () => {
  const stage = await makeStage();
  folder = stage.folder;
  lib = join(folder, 'spamd');
  for (const name of ['deb-systemd-helper', 'systemctl']) await stage.program(name, '');
  await stage.program('dpkg-query', 'exit 1');
});

async function purge(): Promise<string> {
  const script = await readFile(projectFile('service/debian/postrm'), 'utf8');
  const path = join(folder, 'postrm');
  await writeFile(path, script.replace('lib=/var/lib/kopano', `lib=${folder}`));
  const PATH = [join(folder, 'bin'), process.env['PATH']].join(':');
  const { stdout } = await run('sh', [path, 'purge'], { env: { PATH } });
  return stdout;
}

/** All that the daemon ever makes there. */
async function makeState(): Promise<string> {
  const path = join(lib, '.learnd');
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  await mkdir(join(lib, 'ham'), { recursive: true });
  const state = openStateDir({ path, libDir: lib, uid, gid });
  for (const kept of [state.openTaught(), state.openListed()]) {
    await writeFile(kept.at('0123.gz'), '');
  }
  for (const name of [LOCK_FILE, SOCKET_FILE, FIGURES_FILE, HISTORY_FILE]) {
    await writeFile(state.root.at(name), '');
  }
  await copyFile(state.root.at(HISTORY_FILE), state.root.at('history.broken.json'));
  for (const filter of FILTERS) new DoneLog(state.root, filter).close();
  state.close();
  return path;
}

describe('purge', () => {
  test('leaves nothing of the state dir of a daemon that has no message', async () => {
    await makeState();
    expect(await purge()).toBe('');
    expect(await readdir(lib)).toEqual(['ham']);
  });

  test('leaves messages, wherever they lie, and says so', async () => {
    const state = await makeState();
    const messages = ['archive/spam/2026-11-30', 'queue/ham', 'quarantine/spam', 'release/ham'];
    for (const place of messages) {
      await mkdir(join(state, place), { recursive: true });
      await writeFile(join(state, place, 'a.eml'), '');
    }
    expect(await purge()).toContain(`${state} still holds messages`);
    const files = (await readdir(state, { recursive: true })).filter((name) => /\./.test(name));
    expect(files.sort()).toEqual(messages.map((place) => `${place}/a.eml`).sort());
  });
});
