import { describe, expect, test } from 'vitest';
import { checkDaemon } from '../../src/doctor/daemon.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import type { Host } from '../../src/host.ts';
import type { DaemonAnswer } from '../../src/status/ask.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { PROCESS, StatusBench } from '../support/status-bench.ts';

/** What the doctor makes of what the running daemon says of itself. */

const ACCOUNT = { uid: 999, gid: 993, groups: [993] };
const SYSTEMD = { kind: 'systemd', unit: 'kopano-learnd' } as const;

async function reportOf(change: Partial<DaemonReport> = {}): Promise<DaemonReport> {
  return { ...(await new StatusBench().reporter.status()), ...change };
}

async function found(
  change: Partial<DaemonReport> = {},
  account = ACCOUNT,
): Promise<readonly Finding[]> {
  const report = await reportOf(change);
  const { host } = report.process;
  const daemon: DaemonAnswer = { kind: 'running', report };
  return [...checkDaemon({ libDir: '/spool', account, daemon, host, isOwned: false })];
}

test('one that is well is one line', async () => {
  expect(await found()).toEqual([
    { state: 'ok', check: 'daemon', says: 'owns the spool, and nothing fails it' },
  ]);
});

describe('one that is not there', () => {
  const daemon: DaemonAnswer = { kind: 'none', reason: 'nobody listens there' };

  function only(host: Host, isOwned = false): Finding | undefined {
    return [...checkDaemon({ libDir: '/spool', account: ACCOUNT, daemon, host, isOwned })][0];
  }

  test('is not tried where no service runs it', () => {
    expect(only({ kind: 'other' })).toMatchObject({ state: 'not tried' });
    expect(only({ kind: 'container' })).toMatchObject({ state: 'not tried' });
  });

  test('nor where one owns the spool all the same', () => {
    expect(only(SYSTEMD, true)).toMatchObject({ state: 'not tried' });
  });

  test('is started by the service', () => {
    const systemd = only(SYSTEMD);
    expect(systemd).toMatchObject({ state: 'failed', command: 'systemctl restart kopano-learnd' });
    expect(systemd?.cure).toContain('journalctl -u kopano-learnd');
    // `sv restart` would wait for the rest of half a minute after exit code 78
    expect(only({ kind: 'runit', service: '/etc/sv/x' })?.command).toBe(
      'sv stop /etc/sv/x && sv start /etc/sv/x',
    );
  });
});

describe('a fault that only the daemon meets', () => {
  const EROFS = { place: '/srv/spool/.learnd', code: 'EROFS', says: 'mounted read-only' };

  test('under systemd is mended by a drop-in, not by a mount', async () => {
    const process = { ...PROCESS, host: SYSTEMD };
    const [first] = await found({ faults: [EROFS], process, waitsFor: 'x' });
    expect(first?.state).toBe('failed');
    expect(first?.says).toMatch(/\/srv\/spool\/\.learnd fails the running daemon/);
    expect(first?.command).toMatch(
      /printf '\[Service\]\\nReadWritePaths=%s\\n' \/srv\/spool\/\.learnd .*systemctl daemon-reload && systemctl restart kopano-learnd$/,
    );
  });

  test('there the spool is named as a whole: two paths would be two mounts', async () => {
    const process = { ...PROCESS, host: SYSTEMD };
    const [first] = await found({ spool: '/srv/spool', faults: [EROFS], process });
    expect(first?.command).toContain(' /srv/spool >>/etc/systemd/system/kopano-learnd.service.d/');
  });

  test.each([
    ['/srv/my spool', `'"/srv/my spool"'`],
    ['/srv/100%', '/srv/100%%'],
  ])('there %s is written as a unit has it', async (spool, word) => {
    const process = { ...PROCESS, host: SYSTEMD };
    const faults = [{ ...EROFS, place: `${spool}/.learnd` }];
    const [first] = await found({ spool, faults, process });
    expect(first?.command).toContain(` ${word} >>/etc/systemd/`);
  });

  test('elsewhere by one', async () => {
    const [first] = await found({ faults: [EROFS] });
    expect(first?.cure).toMatch(/mount it writable/);
    expect(first?.command).toBeUndefined();
  });
});

test('one that hangs is restarted as it is run', async () => {
  const process = { ...PROCESS, host: { kind: 'runit', service: '/etc/sv/x' } as const };
  const health = { healthy: false, role: 'owner', reasons: ['the queue stands still'] } as const;
  const [first] = await found({ health: { ...health, reasons: [...health.reasons] }, process });
  expect(first).toMatchObject({ state: 'failed', command: 'sv restart /etc/sv/x' });
});

test('one that stands by says what it waits for', async () => {
  const [first] = await found({ waitsFor: '/x is owned by another daemon' });
  expect(first).toMatchObject({ state: 'warning', check: 'daemon' });
  expect(first?.says).toContain('owned by another daemon');
});

test('a group that came after its start is told', async () => {
  const [first] = await found({}, { ...ACCOUNT, groups: [993, 4_711] });
  expect(first).toMatchObject({ state: 'warning', check: 'user' });
  expect(first?.says).toContain('without the group gid 4711');
});
