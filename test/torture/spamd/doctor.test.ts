import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { callThrough } from '../../support/elsewhere.ts';
import { MOUNTS } from '../../support/needs.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { SPAMD, startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

/** The doctor of a machine with amavis, whose Bayes may be another than the one that learns. */
describe('the doctor beside amavis', { ...SPAMD, ...MOUNTS }, () => {
  test('warns of a Bayes that amavis does not read, and is content without amavis', async () => {
    await using spamd = await startSpamd({ unixSocket: true });
    const see = async (users: string): Promise<string> => {
      const passwd = join(temporaryFolder(), 'passwd');
      writeFileSync(passwd, `${readFileSync('/etc/passwd', 'latin1')}${users}`);
      const script = `mount --bind ${passwd} /etc/passwd && exec "$0" "$@"`;
      const environment = {
        PATH: process.env['PATH'] ?? '',
        LEARN_TRAINERS: 'spamassassin',
        SPAMD_URL: `unix:${spamd.socketPath}`,
        KOPANO_SPAMD_LIB: '/nowhere',
        STATUS_LISTEN: 'off',
      };
      const order = { args: ['doctor', '--json', '--all'], environment };
      const { out } = await callThrough(['unshare', '--mount', 'sh', '-c', script], order);
      const { checks } = JSON.parse(out) as { checks: Record<string, string>[] };
      const found = checks.filter(({ check }) => check === `unix:${spamd.socketPath}`);
      return found.map(({ state, says, cure }) => `${state}: ${says}; ${cure}`).join();
    };
    const works = 'learns for nobody, remembers and forgets';
    expect(await see('')).toBe(`ok: ${works}; undefined`);
    expect(await see('vscan:x:20001:20001::/var/lib/vscan:/bin/false\n')).toMatch(
      new RegExp(`^warning: ${works}; amavis on this machine .* vscan; set SPAMD_USER=vscan, `),
    );
  });
});
