import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { checkDaemon } from '../../src/doctor/daemon.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import type { DaemonAnswer } from '../../src/status/ask.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { PROCESS, StatusBench } from '../support/status-bench.ts';

/** What the doctor makes of what the running daemon says of itself. */

const ACCOUNT = { uid: 999, gid: 993, groups: [993] };
const SYSTEMD = { kind: 'systemd', unit: 'kopano-learnd' } as const;

async function found(
  change: Partial<DaemonReport> = {},
  account = ACCOUNT,
  settings = {},
): Promise<readonly Finding[]> {
  const bench = new StatusBench();
  const { lib } = bench.spool;
  const report = { ...(await bench.reporter.status()), ...change };
  const config = loadConfig({
    KOPANO_SPAMD_LIB: lib,
    RSPAMD_URL: 'http://one:11334',
    ...settings,
  });
  return [...checkDaemon(config, account, { kind: 'running', report })];
}

test('one that is well is one line', async () => {
  expect(await found()).toEqual([
    { state: 'ok', check: 'daemon', says: 'owns the spool, and nothing fails it' },
  ]);
});

test('one that is not there is not tried', () => {
  const answer: DaemonAnswer = { kind: 'none', reason: 'nobody listens there' };
  const [only] = [...checkDaemon(loadConfig({}), ACCOUNT, answer)];
  expect(only).toMatchObject({ state: 'not tried' });
});

describe('a fault that only the daemon meets', () => {
  const EROFS = { place: '/srv/spool/.learnd', code: 'EROFS', says: 'mounted read-only' };

  test('under systemd is mended by a drop-in, not by a mount', async () => {
    const process = { ...PROCESS, host: SYSTEMD };
    const [first] = await found({ faults: [EROFS], process, waitsFor: 'x' });
    expect(first?.state).toBe('failed');
    expect(first?.says).toMatch(/\/srv\/spool\/\.learnd fails the running daemon/);
    expect(first?.command).toMatch(
      /printf '\[Service\]\\nReadWritePaths=%s\\n' '\/srv\/spool\/\.learnd' .*systemctl daemon-reload && systemctl restart kopano-learnd$/,
    );
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

test('settings that differ from those of the command are named', async () => {
  const others = { LEARN_AFTER: 'archive', RSPAMD_URL: 'http://two:11334' };
  const all = (await found({ process: { ...PROCESS, host: SYSTEMD } }, ACCOUNT, others)).filter(
    ({ check }) => check === 'settings',
  );
  expect(all.map(({ says }) => says)).toEqual([
    'the running daemon has LEARN_AFTER=remove, and this command archive',
    'the running daemon has RSPAMD_URL=http://one:11334, and this command http://two:11334',
  ]);
  expect(all[0]?.command).toBe('systemctl restart kopano-learnd');
});

test('a group that came after its start is told', async () => {
  const [first] = await found({}, { ...ACCOUNT, groups: [993, 4_711] });
  expect(first).toMatchObject({ state: 'warning', check: 'user' });
  expect(first?.says).toContain('without the group gid 4711');
});
