import { chmodSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { failed, ok, textOf } from '../../src/doctor/finding.ts';
import { ROOT } from '../support/needs.ts';
import { runCli } from '../support/run-cli.ts';
import { NOBODY, temporaryFolder } from '../support/temporary.ts';

/** How the doctor's findings look. */

const COMMAND = `chown --reference=/var/lib/kopano/spamd/ham ${'/long'.repeat(20)}/spam`;

test('a finding fits the terminal, and its command stands alone and whole', () => {
  const says = 'no message can be moved out of /var/lib/kopano/spamd/spam by uid 999 (kopano)';
  const text = textOf(failed('spam/', says, { hint: 'let it be his', command: COMMAND }), 60);
  expect(text.split('\n')).toEqual([
    'failed     spam/: no message can be moved out of',
    '           /var/lib/kopano/spamd/spam by uid 999 (kopano)',
    '           cure: let it be his',
    `             ${COMMAND}`,
    '',
  ]);
});

test('what paints a terminal is taken out', () => {
  expect(textOf(ok('x', 'a\x1b[31mb'), 80)).toBe('ok         x: a?[31mb\n');
});

const SETTINGS = { KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: 'http://127.0.0.1:9' };

test('problems stand alone; --all shows the rest, before them', async () => {
  const { code, out, err } = await runCli(['doctor'], SETTINGS);
  expect(code).toBe(1);
  expect(out).toMatch(/^failed {5}spool: \/nowhere is missing$/m);
  expect(out).not.toMatch(/^(ok|not tried)/m);
  expect(err).toMatch(
    /^\d+ failed, \d+ warnings?; \d+ checks? ok, \d+ not tried \(--all shows them\)\n$/,
  );
  const all = (await runCli(['doctor', '--all'], SETTINGS)).out;
  const states = [...all.matchAll(/^(ok|not tried|warning|failed)/gm)].map(([, state]) => state);
  expect(states).toContain('ok');
  expect(states.lastIndexOf('ok')).toBeLessThan(states.indexOf('failed'));
  for (const line of all.split('\n'))
    if (!line.startsWith('             ')) expect(line.length).toBeLessThan(81);
});

test(
  'a password file that may not be read is a finding with its cure, and the rest is tried',
  ROOT,
  async () => {
    const folder = temporaryFolder();
    const file = `${folder}/password`;
    writeFileSync(file, 'sesame', { mode: 0o600 });
    const environment = { ...SETTINGS, RSPAMD_PASSWORD_FILE: file };
    const ask = async (): Promise<readonly Record<string, string>[]> => {
      const user = { uid: NOBODY, gid: NOBODY };
      const { out } = await runCli(['doctor', '--json'], environment, user);
      return (JSON.parse(out) as { readonly checks: Record<string, string>[] }).checks;
    };
    const [fault, ...rest] = await ask();
    const command = `chown ${NOBODY} ${file} && chmod u+r ${file}`;
    expect(fault).toMatchObject({ check: 'settings', command });
    expect(rest.some(({ check }) => check === 'spool')).toBe(true);
    chmodSync(folder, 0o700);
    const [shut] = await ask();
    expect(shut).toMatchObject({
      says: expect.stringMatching(/may not enter a folder above it/) as string,
    });
    expect(shut).not.toHaveProperty('command');
  },
);

test('wrong settings are findings, and the rest is tried all the same', async () => {
  const wrong = { ...SETTINGS, LEARN_AFTER: 'delete', LEARN_AFTR: 'archive' };
  const { code, out } = await runCli(['doctor', '--json'], wrong);
  expect(code).toBe(1);
  const { checks } = JSON.parse(out) as { readonly checks: readonly Record<string, string>[] };
  const settings = checks.filter(({ check }) => check === 'settings').map(({ says }) => says);
  expect(settings).toEqual([
    expect.stringMatching(/^LEARN_AFTER must be remove or archive/),
    'LEARN_AFTR is no setting; did you mean LEARN_AFTER? (in the environment)',
  ]);
  expect(checks.some(({ check }) => check === 'spool')).toBe(true);
});
