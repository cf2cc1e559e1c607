import { expect, test } from 'vitest';
import { execFileSync } from 'node:child_process';
import { loadConfig } from '../../src/config.ts';
import { projectFile } from './bundle.ts';

/** The settings file of the Debian package, as it is made of docs/configuration.md. */
const text = execFileSync(
  process.execPath,
  [
    ...['--input-type=module', '--eval'],
    `const { settingsFile } = await import(${JSON.stringify(projectFile('scripts/release/settings-file.mjs'))});
    process.stdout.write(await settingsFile());`,
  ],
  { encoding: 'utf8' },
);
const settings = [...text.matchAll(/^#([A-Z_]+)=(.*)$/gm)];

test('the package’s settings file sets nothing', () => {
  expect(text.split('\n').filter((line) => !/^(#|$)/.test(line))).toEqual([]);
});

test('every setting is in it, with the value that counts unless it is set', () => {
  expect(settings.length).toBeGreaterThanOrEqual(20);
  const values = Object.fromEntries(settings.map(([, name = '', value = '']) => [name, value]));
  expect(values).toHaveProperty('RSPAMD_PASSWORD', '');
  expect(values).toHaveProperty('LEARN_STATE_DIR', '/var/lib/kopano/spamd/.learnd');
  expect(JSON.stringify(loadConfig(values))).toBe(JSON.stringify(loadConfig({})));
});

test('no line is longer than a terminal is wide with some room', () => {
  expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
});
