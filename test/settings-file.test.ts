import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig, statusListen } from '../src/config.ts';
import type { Config, Environment } from '../src/config.ts';
import { OperatorError } from '../src/errors.ts';
import { ROOT } from './support/needs.ts';
import { temporaryFolder } from './support/temporary.ts';

/** /etc/kopano-learnd.conf, here named by KOPANO_LEARND_CONF. */

function settingsFile(text: string, mode = 0o600): string {
  const file = join(temporaryFolder(), 'learnd.conf');
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

function load(text: string, environment: Environment = {}): Config {
  return loadConfig({ KOPANO_LEARND_CONF: settingsFile(text), ...environment });
}

function refusal(file: string): string {
  return faultOf(file).message;
}

function faultOf(file: string): OperatorError {
  try {
    loadConfig({ KOPANO_LEARND_CONF: file });
  } catch (error) {
    if (error instanceof OperatorError && error.exitCode === 78) return error;
    throw error;
  }
  throw new Error('the settings were accepted');
}

describe('a settings file', () => {
  test('sets what the environment does not, and says that it was there', () => {
    const text = '# comment\n\n  LEARN_AFTER=archive\r\nLEARN_ARCHIVE_DAYS=\nSYSLOG_LEVEL=debug\n';
    const config = load(text, { SYSLOG_LEVEL: '3', LEARN_AFTER: '' });
    expect(config).toMatchObject({
      spool: { after: 'archive', archiveDays: 30 },
      log: { level: 3 },
      file: expect.stringMatching(/learnd\.conf$/) as string,
    });
  });

  test.each(['pa$word x', '"quoted"', "it's", '$(touch x)', ' #no comment', 'a\\nb=c', '`id`'])(
    'is taken literally: %s',
    (password) => {
      expect(load(`RSPAMD_PASSWORD=${password}\n`).rspamd.password.header()).toBe(password);
    },
  );

  test('gives way with both names of the password where the environment has one of them', () => {
    const config = load('RSPAMD_PASSWORD_FILE=/nowhere\n', { RSPAMD_PASSWORD: 'sesame' });
    expect(config.rspamd.password.header()).toBe('sesame');
  });

  test('is read for STATUS_LISTEN alone, too', () => {
    const file = settingsFile('STATUS_LISTEN=127.0.0.1:9\n');
    expect(statusListen({ KOPANO_LEARND_CONF: file })).toEqual({ host: '127.0.0.1', port: 9 });
  });

  test('may be /dev/null', () => {
    expect(loadConfig({ KOPANO_LEARND_CONF: '/dev/null' }).spool.after).toBe('remove');
  });

  test.each([
    ['LEARN_AFTR=archive', /LEARN_AFTR \(\S+conf\) is no setting; did you mean LEARN_AFTER\?/],
    ['LERN_AFTER=archive', /LERN_AFTER .*did you mean LEARN_AFTER\?/],
    ['NODE_OPTIONS=x', /NODE_OPTIONS \(\S+\) is no setting$/m],
    ['LEARN_AFTER = archive', /learnd\.conf line 1 is not NAME=VALUE: no blank/],
    ['\nexport LEARN_AFTER=archive', /line 2 is not NAME=VALUE: .* leave out 'export'/],
    ['learn', /line 1 is not NAME=VALUE, nor a comment/],
    ['LEARN_AFTER=archive\nLEARN_AFTER=remove', /line 2 sets LEARN_AFTER once more/],
    ['LEARN_AFTER="archive"', /not '"archive"'; leave out the quotes around it$/],
    ['LEARN_AFTER="keep"', /LEARN_AFTER must be remove or archive, not '"keep"'$/],
    ['RSPAMD_PASSWORD_FILE="/dev/null"', /\(ENOENT\); leave out the quotes around it$/],
  ])('with %j is a fault', (text, says) => expect(refusal(settingsFile(text))).toMatch(says));

  test.each([['LEARN_AFTER="archive"'], [` LEARN_AFTER='archive'`]])(
    'with %s is mended by the cure',
    (line) => {
      const file = settingsFile(`${line}\n# "end"\n`);
      expect(faultOf(file).hint).toBe(`correct ${file}; man kopano-learnd lists every setting`);
      execFileSync('sh', ['-euc', faultOf(file).command ?? 'false']);
      expect(loadConfig({ KOPANO_LEARND_CONF: file }).spool.after).toBe('archive');
      expect(readFileSync(file, 'utf8')).toMatch(/LEARN_AFTER=archive\n# "end"\n$/);
    },
  );

  test.each([
    [0o666, 'others'],
    [0o660, 'its group'],
  ])('with mode %o, which %s may write, is refused with the cure', (mode) => {
    const file = settingsFile('LEARN_AFTER=archive\n', mode);
    const { message, command } = faultOf(file);
    expect(message).toMatch(/can be written by others \(uid \d+, mode 06\d\d\)$/);
    expect(command).toBe(`chmod go-w ${file}`);
    execFileSync('sh', ['-euc', command ?? 'false']);
    expect(loadConfig({ KOPANO_LEARND_CONF: file }).spool.after).toBe('archive');
  });

  test('of somebody else is refused', ROOT, () => {
    const file = settingsFile('LEARN_AFTER=archive\n');
    chownSync(file, 12_345, 12_345);
    expect(refusal(file)).toMatch(/can be written by others \(uid 12345, mode 0600\)/);
  });

  test('that is named and missing is a fault', () => {
    expect(refusal('/nowhere/learnd.conf')).toMatch(/cannot be read \(ENOENT\)/);
  });
});
