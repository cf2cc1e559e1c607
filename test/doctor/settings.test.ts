import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { checkSettings, checkTaken, settingCommand } from '../../src/doctor/settings.ts';
import type { Host } from '../../src/host.ts';
import type { DaemonAnswer } from '../../src/status/ask.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { runCli } from '../support/run-cli.ts';
import { PROCESS, StatusBench } from '../support/status-bench.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** What the doctor says of the settings, and the commands that mend them. */

const SYSTEMD = { kind: 'systemd', unit: 'kopano-learnd' } as const;
const NO_SERVICE = { kind: 'other' } as const;
const NONE: DaemonAnswer = { kind: 'none', reason: 'nobody listens there' };

function settingsFile(text: string): string {
  const file = `${temporaryFolder()}/learnd.conf`;
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function found(file: string, daemon = NONE, more = {}): readonly Finding[] {
  const environment = { KOPANO_LEARND_CONF: file, ...more };
  const host = daemon.kind === 'running' ? daemon.report.process.host : NO_SERVICE;
  const options = { ...readConfig(environment), environment, daemon, host };
  return [...checkSettings(options), ...checkTaken(options)];
}

function paste({ command = 'false' }: Finding = { state: 'ok', check: '', says: '' }): void {
  expect(spawnSync('sh', ['-euc', command.replace(/ && systemctl .*/, '')]).status).toBe(0);
}

async function running(change: Partial<DaemonReport> = {}): Promise<DaemonAnswer> {
  const report = await new StatusBench().reporter.status();
  const process = { ...PROCESS, host: SYSTEMD };
  return { kind: 'running', report: { ...report, process, ...change } };
}

describe('a name in the file that is no setting', () => {
  test('becomes the one that was meant', () => {
    const file = settingsFile('# mine\n LEARN_AFTR=archive\n');
    const [only] = found(file);
    expect(only?.says).toMatch(/did you mean LEARN_AFTER/);
    paste(only);
    expect(readFileSync(file, 'utf8')).toBe('# mine\nLEARN_AFTER=archive\n');
    expect(found(file)).toMatchObject([{ state: 'ok' }]);
  });

  test('is left to people where that one is there already, or none is like it', () => {
    const file = settingsFile('LEARN_AFTR=archive\nLEARN_AFTER=remove\nLEARN_SOMETHING_ELSE=1\n');
    for (const { state, command } of found(file)) {
      expect({ state, command }).toEqual({ state: 'failed', command: undefined });
    }
  });
});

test('a file that others may write to is taken from them', () => {
  const file = settingsFile('LEARN_AFTER=archive\n');
  spawnSync('chmod', ['0666', file]);
  const [only] = found(file);
  expect(only?.command).toBe(`chmod go-w ${file}`);
  paste(only);
  expect(found(file)).toMatchObject([{ state: 'ok' }]);
});

describe('a file whose settings are not known', () => {
  const CRON = { kind: 'other' } as const;
  const closed = (host: Host): readonly Finding[] => {
    const file = settingsFile('LEARN_AFTER=archive\n');
    chmodSync(file, 0o666);
    const environment = { KOPANO_LEARND_CONF: file };
    return [...checkSettings({ ...readConfig(environment), environment, daemon: NONE, host })];
  };

  test('is mended first: nothing is judged by defaults', () => {
    expect(closed(CRON)).toMatchObject([
      { state: 'failed', command: expect.stringMatching(/^chmod go-w \S+$/) as string },
      { state: 'not tried', check: 'all else' },
    ]);
  });

  test('kept the daemon from starting, so it is started then', () => {
    expect(closed(SYSTEMD)[0]?.command).toMatch(/^chmod go-w \S+ && systemctl restart kopano-le/);
  });

  test('is all that the doctor tells', async () => {
    const { out, err, code } = await runCli(['doctor', '--all'], {
      KOPANO_LEARND_CONF: '/nowhere/learnd.conf',
      KOPANO_SPAMD_LIB: '/nowhere',
    });
    expect(code).toBe(1);
    expect(err).toBe('1 failed, 0 warnings; 0 checks ok, 1 not tried\n');
    expect(out).toMatch(/^failed {5}settings: \/nowhere\/learnd\.conf cannot be read \(ENOENT\)/m);
  });
});

test('nothing is judged by the default of a setting that is wrong, whose place is told', async () => {
  const file = settingsFile('RSPAMD_URL=127.0.0.1:9\nLEARN_STATE_DIR=state\n');
  const environment = { KOPANO_LEARND_CONF: file, LEARN_TRAINERS: '', LEARN_AFTER: 'keep' };
  const { out, code } = await runCli(['doctor', '--json'], environment);
  expect(code).toBe(1);
  const { checks } = JSON.parse(out) as { readonly checks: readonly Finding[] };
  expect(checks.filter(({ state }) => state === 'failed').map(({ cure }) => cure)).toEqual([
    `correct it in ${file}; the daemon does not start with it`,
    'correct it in the environment; the daemon does not start with it',
    `correct it in ${file}; the daemon does not start with it`,
  ]);
  expect(checks).toContainEqual({
    state: 'not tried',
    check: 'spool',
    says: 'correct LEARN_STATE_DIR first',
  });
  expect(checks).toContainEqual({
    state: 'not tried',
    check: 'rspamd',
    says: 'correct RSPAMD_URL first',
  });
  expect(JSON.stringify(checks)).toContain('RSPAMD_URL must be http://HOST:11334');
  expect(JSON.stringify(checks)).toContain('it begins with none of these');
});

test('a daemon that runs is started anew by the last of the cures', async () => {
  const file = settingsFile('LEARN_AFTR=archive\nRSPAMD_URI=http://x\n');
  const commands = found(file, await running()).map(({ command }) => command);
  expect(commands).toEqual([
    expect.stringMatching(/LEARN_AFTER=\/' [^ ]+$/),
    expect.stringMatching(/RSPAMD_URL=\/' [^ ]+ && systemctl restart kopano-learnd$/),
  ]);
});

describe('a daemon with other settings', () => {
  async function differing(text: string, more = {}): Promise<readonly Finding[]> {
    const daemon = await running();
    if (daemon.kind !== 'running') return [];
    const { spool, controllers } = daemon.report;
    const url = controllers.map(({ name }) => name).join(',');
    return found(
      settingsFile(`KOPANO_SPAMD_LIB=${spool}\nRSPAMD_URL=${url}\n${text}`),
      daemon,
      more,
    );
  }

  test('is restarted where the file says it', async () => {
    const [, only] = await differing('LEARN_AFTER=archive\n');
    expect(only).toMatchObject({ state: 'warning', command: 'systemctl restart kopano-learnd' });
    expect(only?.says).toBe('the running daemon has LEARN_AFTER=remove, and this command archive');
  });

  test('has them from its own environment: they are written into the file', async () => {
    const daemon = await running({ process: { ...PROCESS, host: SYSTEMD, after: 'archive' } });
    const [first] = found(settingsFile(''), daemon).filter(({ says }) => says.includes('AFTER'));
    expect(first?.command).toMatch(
      /^echo LEARN_AFTER=archive >>[^ ]+ && systemctl restart kopano-learnd$/,
    );
  });

  test('teaches other filters', async () => {
    const daemon = await running({ trainers: [] });
    const file = settingsFile('LEARN_TRAINERS=rspamd,spamassassin\n');
    expect(found(file, daemon)).toContainEqual({
      state: 'warning',
      check: 'settings',
      says: 'the running daemon has LEARN_TRAINERS=, and this command rspamd,spamassassin',
      cure: expect.stringMatching(/^restart the daemon, if LEARN_TRAINERS was changed/) as string,
      command: 'systemctl restart kopano-learnd',
    });
  });

  test('where the command has them from its own environment, words say so', async () => {
    const [, only] = await differing('', { LEARN_AFTER: 'archive' });
    expect(only).toMatchObject({ state: 'warning', check: 'settings' });
    expect(only?.command).toBeUndefined();
  });
});

test('what restarts the daemon comes after what mends the folders that it needs', async () => {
  const bench = await StatusBench.start();
  const { out } = await runCli(['doctor', '--json'], {
    KOPANO_SPAMD_LIB: temporaryFolder(),
    RSPAMD_URL: 'http://127.0.0.1:9',
    STATUS_LISTEN: `127.0.0.1:${bench.status.port ?? 0}`,
  });
  const { checks } = JSON.parse(out) as { readonly checks: readonly Finding[] };
  const differs = checks.findIndex(({ says }) => says.includes('the running daemon has'));
  const folders = checks.flatMap(({ check }, index) =>
    /^(spam|ham)\/$/.test(check) ? [index] : [],
  );
  expect(folders).toHaveLength(2);
  expect(differs).toBeGreaterThan(Math.max(...folders));
});

describe('a setting is written', () => {
  /** The command that writes it into a file in which that stands. */
  const into = (before: string, name: string, value: string): [string, string | undefined] => {
    const file = `${temporaryFolder()}/my settings`;
    writeFileSync(file, before);
    const given = { config: { file }, environment: {}, host: NO_SERVICE };
    return [file, settingCommand(given, name, value)];
  };

  test.each([
    ['in the place of the one that is there', 'A=1\nB=http://x:1\n', 'B', 'http://y:2'],
    ['behind the others', 'A=1\n', 'B', 'http://y:2'],
    ['literally, behind the others', 'A=1\n', 'B', "/srv/a & b|c\\1 $(d) 'e'"],
    ['literally, in the place of another', 'A=1\nB=x\n', 'B', "/srv/a & b|c\\1 $(d) 'e'"],
    ['on a line of its own', 'A=1', 'B', '2'],
  ])('%s', (_, before, name, value) => {
    const [file, command] = into(before, name, value);
    expect(spawnSync('sh', ['-euc', command ?? 'false']).status).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(`A=1\n${name}=${value}\n`);
  });

  test('by nobody, where no line can hold the value', () => {
    expect(into('', 'A', '/srv/a\nb')[1]).toBeUndefined();
  });
});
