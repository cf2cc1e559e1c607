import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { checkDaemon } from '../../src/doctor/daemon.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import type { Host } from '../../src/host.ts';
import type { DaemonAnswer } from '../../src/status/ask.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { PROCESS, StatusBench } from '../support/status-bench.ts';

/** What the doctor makes of what the running daemon says of itself. */

const IDENTITY = { uid: 999, gid: 993, groups: [993] };
const SYSTEMD = { kind: 'systemd', unit: 'kopano-learnd' } as const;
const RUNIT = { kind: 'runit', service: '/etc/sv/x' } as const;
const EROFS = { place: '/srv/spool/.learnd', code: 'EROFS', says: 'mounted read-only' };

/** The findings of a daemon that answers so, and is run so. */
function findings(
  daemon: DaemonAnswer,
  host: Host,
  { identity = IDENTITY, isOwned = false } = {},
): readonly Finding[] {
  const environment = { KOPANO_SPAMD_LIB: '/spool' };
  const { signal: stop } = new AbortController();
  const given = { ...readConfig(environment), environment, identity, stop, daemon, host };
  return [...checkDaemon(given, isOwned)];
}

async function found(
  change: Partial<DaemonReport> = {},
  host: Host = { kind: 'other' },
  identity = IDENTITY,
): Promise<readonly Finding[]> {
  const report = await new StatusBench().reporter.status();
  const process = { ...PROCESS, host };
  return findings({ kind: 'running', report: { ...report, process, ...change } }, host, {
    identity,
  });
}

test('one that is well is one line', async () => {
  expect(await found()).toEqual([
    { state: 'ok', check: 'daemon', says: 'owns the spool, and nothing fails it' },
  ]);
});

describe('one that is not there', () => {
  const only = (host: Host, isOwned = false): Finding | undefined =>
    findings({ kind: 'none', reason: 'nobody listens there' }, host, { isOwned })[0];

  test.each<[string, Host, boolean]>([
    ['where no service runs it', { kind: 'other' }, false],
    ['in a container', { kind: 'container' }, false],
    ['where one owns the spool all the same', SYSTEMD, true],
  ])('is not tried %s', (_, host, isOwned) => {
    expect(only(host, isOwned)).toMatchObject({ state: 'not tried' });
  });

  test.each<[Host, string, string]>([
    [SYSTEMD, 'systemctl restart kopano-learnd', 'journalctl -u kopano-learnd'],
    // `sv restart` would wait for the rest of half a minute after exit code 78
    [RUNIT, 'sv stop /etc/sv/x && sv start /etc/sv/x', 'its log'],
  ])('is started by the service: %o', (host, command, log) => {
    const finding = only(host);
    expect(finding).toMatchObject({ state: 'failed', command });
    expect(finding?.cure).toContain(log);
  });
});

describe('a fault that only the daemon meets', () => {
  test('under systemd is mended by a drop-in, not by a mount', async () => {
    const [first] = await found({ faults: [EROFS], waitsFor: 'x' }, SYSTEMD);
    expect(first?.state).toBe('failed');
    expect(first?.says).toMatch(/\/srv\/spool\/\.learnd fails the running daemon/);
    expect(first?.command).toMatch(
      /printf '\[Service\]\\nReadWritePaths=%s\\n' \/srv\/spool\/\.learnd .*systemctl daemon-reload && systemctl restart kopano-learnd$/,
    );
  });

  // Two paths would be two mounts: the spool is named as a whole, as a unit has its name.
  test.each([
    ['/srv/spool', '/srv/spool'],
    ['/srv/my spool', `'"/srv/my spool"'`],
    ['/srv/100%', '/srv/100%%'],
  ])('there names the spool %s as a whole, as a unit has it', async (spool, word) => {
    const faults = [{ ...EROFS, place: `${spool}/.learnd` }];
    const [first] = await found({ spool, faults }, SYSTEMD);
    expect(first?.command).toContain(` ${word} >>/etc/systemd/system/kopano-learnd.service.d/`);
  });

  test('elsewhere is mended by a mount', async () => {
    const [first] = await found({ faults: [EROFS] });
    expect(first?.cure).toMatch(/mount it writable/);
    expect(first?.command).toBeUndefined();
  });
});

test('one that hangs is restarted as it is run', async () => {
  const health = { healthy: false, role: 'owner' as const, reasons: ['the queue stands still'] };
  const [first] = await found({ health }, RUNIT);
  expect(first).toMatchObject({ state: 'failed', command: 'sv restart /etc/sv/x' });
});

test('one that stands by says what it waits for', async () => {
  const [first] = await found({ waitsFor: '/x is owned by another daemon' });
  expect(first).toMatchObject({ state: 'warning', check: 'daemon' });
  expect(first?.says).toContain('owned by another daemon');
});

test('a group that came after its start is told', async () => {
  const [first] = await found({}, { kind: 'other' }, { ...IDENTITY, groups: [993, 4_711] });
  expect(first).toMatchObject({ state: 'warning', check: 'user' });
  expect(first?.says).toContain('without the group gid 4711');
});
