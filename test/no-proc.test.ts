import { mkdirSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MOUNTS } from './support/needs.ts';
import { callThrough } from './support/elsewhere.ts';
import type { Result } from './support/run-cli.ts';
import { temporaryFolder } from './support/temporary.ts';

/** A chroot or container without /proc, by which folders are worked through; made for real. */

/** Runs a command where something else is mounted on /proc. */
function runWithoutProc(args: readonly string[], libDir: string): Promise<Result> {
  const hidden = 'mount -t tmpfs none /proc && exec "$@"';
  const PATH = process.env['PATH'] ?? '';
  const environment = { PATH, STATUS_LISTEN: 'off', KOPANO_SPAMD_LIB: libDir };
  return callThrough(['unshare', '--mount', 'sh', '-c', hidden, 'sh'], { args, environment });
}

describe('without /proc', MOUNTS, () => {
  test.each(['watch --once', 'status'])(
    '%s says that in one line, with the cure',
    async (words) => {
      const lib = temporaryFolder();
      for (const name of ['spam', 'ham']) mkdirSync(`${lib}/${name}`);
      const { code, out, err } = await runWithoutProc(words.split(' '), lib);
      expect({ code, out }).toEqual({ code: 78, out: '' });
      expect(err).toMatch(
        /^kopano-learnd: \/proc is not mounted.*\ncure: mount it .*\n {2}mount -t proc proc \/proc\n$/,
      );
      expect(readdirSync(lib).sort()).toEqual(['ham', 'spam']);
    },
  );

  test('doctor finds that, and tries nothing that would be found wrong for it', async () => {
    const { code, out, err } = await runWithoutProc(['doctor'], temporaryFolder());
    expect(code).toBe(1);
    expect(out).toMatch(
      /^failed +\/proc: .*\n +cure: mount it [^]*\n {13}mount -t proc proc \/proc\n/,
    );
    expect(out).not.toMatch(/\nfailed/);
    expect(err).toBe('1 failed, 0 warnings; 1 check ok, 1 not tried (--all shows them)\n');
  });
});
