import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import type { Config, Environment } from '../src/config.ts';
import { OperatorError } from '../src/errors.ts';
import { temporaryFolder } from './support/temporary.ts';

function fileWith(content: string): string {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, content);
  return file;
}

/** The error that these settings are refused with. */
function refusal(environment: Environment): OperatorError {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
  throw new Error('the settings were accepted');
}

/** The lines of the error that name a fault each. */
function faults(environment: Environment): string[] {
  return refusal(environment).message.split('\n').slice(1);
}

describe('without any setting', () => {
  test('everything has its default', () => {
    expect(loadConfig({})).toEqual({
      spool: {
        libDir: '/var/lib/kopano/spamd',
        stateDir: '/var/lib/kopano/spamd/.learnd',
        after: 'remove',
        archiveDays: 30,
        maxBytes: 52_428_800,
        settleMs: 2_000,
        sweepMs: 30_000,
        polling: false,
      },
      rspamd: {
        controllers: [
          {
            name: 'http://127.0.0.1:11334',
            url: 'http://127.0.0.1:11334/',
            socketPath: undefined,
          },
        ],
        password: expect.anything() as unknown,
        timeoutMs: 30_000,
        ca: undefined,
      },
      learning: { concurrency: 8, backlog: 1_000, maxAttempts: 10 },
      statusListen: { host: '127.0.0.1', port: 11_380 },
      log: { level: 5, format: 'json' },
      shutdownMs: 5_000,
    });
    expect(loadConfig({}).rspamd.password.header()).toBeUndefined();
  });

  test('an empty variable means the same as an unset one', () => {
    const names = [
      ...['KOPANO_SPAMD_LIB', 'RSPAMD_URL', 'RSPAMD_PASSWORD', 'RSPAMD_PASSWORD_FILE'],
      ...['RSPAMD_TIMEOUT_SECONDS', 'RSPAMD_CA_FILE', 'LEARN_AFTER', 'LEARN_STATE_DIR'],
      ...['LEARN_ARCHIVE_DAYS', 'LEARN_CONCURRENCY', 'LEARN_BACKLOG', 'LEARN_MAX_BYTES'],
      ...['LEARN_SETTLE_MS', 'LEARN_SWEEP_SECONDS', 'LEARN_POLLING', 'LEARN_MAX_ATTEMPTS'],
      ...['STATUS_LISTEN', 'SYSLOG_LEVEL', 'LOG_FORMAT', 'SHUTDOWN_SECONDS'],
    ];
    const empty = Object.fromEntries(names.map((name) => [name, '']));
    expect(loadConfig(empty)).toEqual(loadConfig({}));
  });

  test('variables of others are none of our business', () => {
    expect(loadConfig({ RSPAMD_HOST: 'x', LEARN: '-1', SYSLOG: 'y' })).toEqual(loadConfig({}));
  });
});

test.each<[string, number, number, 'whole' | 'seconds', (config: Config) => number]>([
  ['LEARN_ARCHIVE_DAYS', 0, 36_500, 'whole', ({ spool }) => spool.archiveDays],
  ['LEARN_CONCURRENCY', 1, 1_000, 'whole', ({ learning }) => learning.concurrency],
  ['LEARN_BACKLOG', 1, 1_000_000, 'whole', ({ learning }) => learning.backlog],
  ['LEARN_MAX_ATTEMPTS', 1, 1_000_000, 'whole', ({ learning }) => learning.maxAttempts],
  ['LEARN_MAX_BYTES', 1, 2 ** 30, 'whole', ({ spool }) => spool.maxBytes],
  ['LEARN_SETTLE_MS', 1, 3_600_000, 'whole', ({ spool }) => spool.settleMs],
  ['SYSLOG_LEVEL', 0, 7, 'whole', ({ log }) => log.level],
  ['RSPAMD_TIMEOUT_SECONDS', 0.1, 3_600, 'seconds', ({ rspamd }) => rspamd.timeoutMs / 1000],
  ['LEARN_SWEEP_SECONDS', 0.1, 86_400, 'seconds', ({ spool }) => spool.sweepMs / 1000],
  ['SHUTDOWN_SECONDS', 0, 3_600, 'seconds', ({ shutdownMs }) => shutdownMs / 1000],
])('%s is a number from %d to %d (%s)', (name, min, max, form, read) => {
  for (const value of [min, max]) {
    expect(read(loadConfig({ [name]: String(value) }))).toBe(value);
  }
  if (form === 'seconds') expect(read(loadConfig({ [name]: '1.5' }))).toBe(1.5);
  const odd = ['abc', '5s', '1,5', '0x10', '1e1', 'NaN', 'Infinity', '-', '٣', '5 5', 'true'];
  const outside = [min - 1, min - 0.05, max + 1].map(String);
  const what = form === 'whole' ? 'a whole number' : 'a number';
  for (const value of [...odd, ...outside, ...(form === 'whole' ? ['1.5', '5.0'] : [])]) {
    expect(faults({ [name]: value })).toEqual([
      `  ${name} must be ${what} from ${min} to ${max}, not '${value}'`,
    ]);
  }
});

describe('a choice', () => {
  test('is taken by its words', () => {
    expect(loadConfig({ LEARN_AFTER: 'archive' }).spool.after).toBe('archive');
    expect(loadConfig({ LOG_FORMAT: 'pretty' }).log.format).toBe('pretty');
  });

  test.each(['LEARN_AFTER', 'LOG_FORMAT'])(
    '%s of another word is a fault that names them',
    (name) => {
      const words = name === 'LEARN_AFTER' ? 'remove or archive' : 'json or pretty';
      for (const value of ['delete', 'REMOVE', 'Json', 'remove ']) {
        expect(faults({ [name]: value })).toEqual([`  ${name} must be ${words}, not '${value}'`]);
      }
    },
  );

  test.each(['yes', 'YES', 'true', 'on', '1'])('LEARN_POLLING=%s is on', (value) => {
    expect(loadConfig({ LEARN_POLLING: value }).spool.polling).toBe(true);
  });

  test.each(['no', 'No', 'false', 'off', '0'])('LEARN_POLLING=%s is off', (value) => {
    expect(loadConfig({ LEARN_POLLING: value }).spool.polling).toBe(false);
  });

  test.each(['2', 'y', 'ja', 'yes!'])('LEARN_POLLING=%s is a fault', (value) => {
    expect(faults({ LEARN_POLLING: value })).toEqual([
      `  LEARN_POLLING must be yes or no, not '${value}'`,
    ]);
  });
});

describe('a path', () => {
  test('is made tidy', () => {
    const { spool } = loadConfig({ KOPANO_SPAMD_LIB: '/srv//spool/../spamd/' });
    expect(spool.libDir).toBe('/srv/spamd');
    expect(spool.stateDir).toBe('/srv/spamd/.learnd');
  });

  test.each(['KOPANO_SPAMD_LIB', 'LEARN_STATE_DIR'])('%s must be absolute', (name) => {
    for (const value of ['spool', './spool', '~/spool']) {
      expect(faults({ [name]: value })).toEqual([
        `  ${name} must be an absolute path, not '${value}'`,
      ]);
    }
  });

  test.each(['/srv/spamd/spam', '/srv/spamd/ham', '/srv/spamd/spam/deep', '/srv/spamd/x/../ham/'])(
    'LEARN_STATE_DIR must not lie among the messages: %s',
    (stateDir) => {
      const [fault] = faults({ KOPANO_SPAMD_LIB: '/srv/spamd', LEARN_STATE_DIR: stateDir });
      expect(fault).toMatch(/^ {2}LEARN_STATE_DIR must not lie inside \/srv\/spamd\/(spam|ham)/);
    },
  );

  test('LEARN_STATE_DIR must not be the spool itself', () => {
    expect(faults({ KOPANO_SPAMD_LIB: '/srv/spamd', LEARN_STATE_DIR: '/srv/spamd/' })).toEqual([
      expect.stringMatching(/^ {2}LEARN_STATE_DIR must not be KOPANO_SPAMD_LIB itself/),
    ]);
  });

  test.each(['/srv/spamd/spammy', '/srv/spamd/.state', '/srv', '/elsewhere'])(
    'LEARN_STATE_DIR may be %s',
    (stateDir) => {
      const { spool } = loadConfig({ KOPANO_SPAMD_LIB: '/srv/spamd', LEARN_STATE_DIR: stateDir });
      expect(spool.stateDir).toBe(stateDir);
    },
  );
});

describe('RSPAMD_URL', () => {
  const controllers = (RSPAMD_URL: string): unknown =>
    loadConfig({ RSPAMD_URL }).rspamd.controllers;

  test.each([
    ['http://rspamd:11334', 'http://rspamd:11334', 'http://rspamd:11334/'],
    ['http://rspamd', 'http://rspamd', 'http://rspamd/'],
    ['https://rspamd/prefix', 'https://rspamd/prefix', 'https://rspamd/prefix/'],
    ['https://rspamd/a/b/', 'https://rspamd/a/b', 'https://rspamd/a/b/'],
    ['http://[::1]:11334', 'http://[::1]:11334', 'http://[::1]:11334/'],
  ])('%s is a controller', (value, name, url) => {
    expect(controllers(value)).toEqual([{ name, url, socketPath: undefined }]);
  });

  test.each(['unix:/run/rspamd.sock', 'unix:///run/rspamd.sock'])('%s is a socket', (value) => {
    expect(controllers(value)).toEqual([
      {
        name: 'unix:/run/rspamd.sock',
        url: 'http://localhost/',
        socketPath: '/run/rspamd.sock',
      },
    ]);
  });

  test('may name several, with blanks and stray commas between them', () => {
    expect(controllers(' http://a:1 ,, unix:/b.sock,https://c ,')).toMatchObject([
      { name: 'http://a:1' },
      { name: 'unix:/b.sock' },
      { name: 'https://c' },
    ]);
  });

  test.each([
    'rspamd',
    'localhost:11334',
    '127.0.0.1:11334',
    'ftp://rspamd:11334',
    'http://',
    'http://rspamd:99999',
    'unix:relative.sock',
    'unix:',
    'http://rspamd?x=1',
    'http://rspamd/#x',
    ',',
    'file:///run/rspamd.sock',
  ])('%s is a fault that shows the form', (value) => {
    const found = faults({ RSPAMD_URL: value });
    expect(found).toEqual([expect.stringMatching(/^ {2}RSPAMD_URL must .*http:\/\/HOST:11334/)]);
  });

  test('says which of several is wrong', () => {
    expect(faults({ RSPAMD_URL: 'http://a,nonsense' })[0]).toMatch(/^ {2}RSPAMD_URL entry 2 must/);
  });

  test.each(['http://a:1,http://a:1/', 'unix:/a,http://b,unix:///a'])(
    'naming a controller twice is a fault: %s',
    (value) => {
      expect(faults({ RSPAMD_URL: value })[0]).toMatch(/^ {2}RSPAMD_URL names .* twice$/);
    },
  );

  test.each([
    'http://user:sesame@rspamd:11334',
    'http://:sesame@rspamd',
    'http://sesame@rspamd',
    'http://a,https://user:sesame@rspamd/x',
  ])('with a user or a password in it is a fault that does not repeat it', (value) => {
    const error = refusal({ RSPAMD_URL: value });
    expect(error.message).toMatch(/RSPAMD_URL must not hold a user or a password/);
    expect(inspect(error, { depth: null })).not.toContain('sesame');
  });

  test.each(['http://user:sesame@', 'nonsense:sesame', 'http://a b:sesame@c', 'unix:sesame'])(
    'that is nonsense is not repeated either, for there may be a password in it: %s',
    (value) => {
      expect(inspect(refusal({ RSPAMD_URL: value }), { depth: null })).not.toContain('sesame');
    },
  );
});

describe('the password', () => {
  const header = (environment: Environment): string | undefined =>
    loadConfig(environment).rspamd.password.header();

  test('is taken as it is', () => {
    for (const value of ['sesame', ' sesame ', 'se"s\\ame', '#$%']) {
      expect(header({ RSPAMD_PASSWORD: value })).toBe(value);
    }
  });

  test.each([
    ['without a newline', 'sesame', 'sesame'],
    ['with one', 'sesame\n', 'sesame'],
    ['with one of DOS', 'sesame\r\n', 'sesame'],
    ['with blanks', ' ses ame \n', ' ses ame '],
  ])('comes from a file %s', (_, content, value) => {
    expect(header({ RSPAMD_PASSWORD_FILE: fileWith(content) })).toBe(value);
  });

  test('is not to be set twice', () => {
    const file = fileWith('sesame');
    const error = refusal({ RSPAMD_PASSWORD: 'sesame', RSPAMD_PASSWORD_FILE: file });
    expect(error.message).toContain('RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE are both set');
    expect(inspect(error, { depth: null })).not.toContain('sesame');
  });

  test.each([
    ['empty', '', /holds no password/],
    ['a mere newline', '\n', /holds no password/],
    ['two lines', 'sesame\nsesame\n', /control character or a line break/],
    ['two newlines', 'sesame\n\n', /control character or a line break/],
    ['a NUL', 'ses\0ame', /control character or a line break/],
  ])('in a file must fit into a header: %s', (_, content, expected) => {
    const file = fileWith(content);
    const error = refusal({ RSPAMD_PASSWORD_FILE: file });
    expect(error.message).toMatch(expected);
    expect(error.message).toContain(file);
    expect(inspect(error, { depth: null })).not.toContain('sesame');
  });

  test('must fit into a header', () => {
    const error = refusal({ RSPAMD_PASSWORD: 'ses\name' });
    expect(error.message).toMatch(/RSPAMD_PASSWORD .*control character or a line break/);
    expect(inspect(error, { depth: null })).not.toMatch(/ses|ame\b/);
  });

  test('in a file that is not there, or is a folder, is a fault that names it', () => {
    for (const [file, code] of [
      ['/nowhere/missing', 'ENOENT'],
      ['/', 'EISDIR'],
    ] as const) {
      expect(faults({ RSPAMD_PASSWORD_FILE: file })[0]).toContain(
        `(${file}) cannot be read (${code})`,
      );
    }
  });

  test('is not shown where the settings are printed', () => {
    const config = loadConfig({ RSPAMD_PASSWORD: 'sesame' });
    expect(JSON.stringify(config)).not.toContain('sesame');
    expect(inspect(config, { depth: null, showHidden: true })).not.toContain('sesame');
    expect(inspect(config.rspamd.password)).not.toContain('sesame');
  });
});

describe('RSPAMD_CA_FILE', () => {
  test('is read', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nxyz\n-----END CERTIFICATE-----\n';
    expect(loadConfig({ RSPAMD_CA_FILE: fileWith(pem) }).rspamd.ca).toBe(pem);
  });

  test('must be there and hold a certificate', () => {
    const missing = '/nowhere/missing.pem';
    expect(faults({ RSPAMD_CA_FILE: missing })).toEqual([
      `  RSPAMD_CA_FILE (${missing}) cannot be read (ENOENT)`,
    ]);
    expect(faults({ RSPAMD_CA_FILE: '/' })[0]).toContain('cannot be read (EISDIR)');
    const key = fileWith('-----BEGIN PRIVATE KEY-----\nsesame\n');
    expect(faults({ RSPAMD_CA_FILE: key })).toEqual([
      `  RSPAMD_CA_FILE (${key}) holds no certificate in PEM form`,
    ]);
  });
});

describe('STATUS_LISTEN', () => {
  test.each([
    ['127.0.0.1:1', { host: '127.0.0.1', port: 1 }],
    ['0.0.0.0:65535', { host: '0.0.0.0', port: 65_535 }],
    ['localhost:8080', { host: 'localhost', port: 8_080 }],
    ['[::1]:9', { host: '::1', port: 9 }],
    ['[fe80::1%eth0.7]:9', { host: 'fe80::1%eth0.7', port: 9 }],
    ['off', undefined],
  ])('%s', (value, expected) => {
    expect(loadConfig({ STATUS_LISTEN: value }).statusListen).toEqual(expected);
  });

  test.each([
    '11380',
    ':11380',
    'host',
    'host:',
    'host:x',
    'host:65536',
    '::1:9',
    '[::1%]:9',
    'http://h:1',
    'no',
  ])('%s is a fault', (value) => {
    expect(faults({ STATUS_LISTEN: value })).toEqual([
      `  STATUS_LISTEN must be HOST:PORT, [IPV6]:PORT or off, not '${value}'`,
    ]);
  });

  test('with a port that nobody could ask at is a fault', () => {
    expect(faults({ STATUS_LISTEN: '127.0.0.1:0' })).toEqual([
      "  STATUS_LISTEN must have a port from 1 to 65535, not '127.0.0.1:0'",
    ]);
  });
});

describe('the faults of one start', () => {
  const wrong = {
    KOPANO_SPAMD_LIB: 'spool',
    LEARN_STATE_DIR: 'state',
    LEARN_AFTER: 'delete',
    LEARN_ARCHIVE_DAYS: '-1',
    LEARN_MAX_BYTES: '0',
    LEARN_SETTLE_MS: '0',
    LEARN_SWEEP_SECONDS: '0',
    LEARN_POLLING: 'maybe',
    RSPAMD_URL: 'nonsense',
    RSPAMD_PASSWORD: 'ses\name',
    RSPAMD_TIMEOUT_SECONDS: 'soon',
    RSPAMD_CA_FILE: '/nonexistent/ca.pem',
    LEARN_CONCURRENCY: '0',
    LEARN_BACKLOG: '0',
    LEARN_MAX_ATTEMPTS: '0',
    STATUS_LISTEN: 'nowhere',
    SYSLOG_LEVEL: '8',
    LOG_FORMAT: 'xml',
    SHUTDOWN_SECONDS: '-1',
  };

  test('are told together, one line each', () => {
    const error = refusal(wrong);
    expect(error).toMatchObject({ code: 'config.invalid', exitCode: 78 });
    expect(error.hint).toMatch(/docs\/configuration\.md/);
    const lines = error.message.split('\n');
    expect(lines[0]).toBe('19 settings are wrong:');
    expect(lines.slice(1)).toHaveLength(19);
    for (const name of Object.keys(wrong)) {
      expect(lines.filter((line) => line.startsWith(`  ${name} `))).toHaveLength(1);
    }
  });

  test('are counted in good English', () => {
    expect(refusal({ SYSLOG_LEVEL: '8' }).message).toMatch(/^a setting is wrong:\n/);
    expect(refusal({ SYSLOG_LEVEL: '8', LOG_FORMAT: 'x' }).message).toMatch(/^2 settings are/);
  });

  test('stay one line each, and printable, whatever is in them', () => {
    const odd = 'a\nb\x1b[31m\u202e';
    const names = ['SYSLOG_LEVEL', 'LOG_FORMAT', 'LEARN_POLLING', 'STATUS_LISTEN'];
    const paths = ['KOPANO_SPAMD_LIB', 'LEARN_STATE_DIR', 'RSPAMD_CA_FILE'];
    for (const name of [...names, ...paths]) {
      const { message } = refusal({ [name]: odd });
      expect(message.split('\n')).toHaveLength(2);
      // eslint-disable-next-line no-control-regex -- what a terminal would act on
      expect(message.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u202e]/);
    }
  });

  test('hold nothing that could be the password, even where it stands in the wrong place', () => {
    const environment = { RSPAMD_PASSWORD_FILE: 'sesame', RSPAMD_URL: 'http://x:sesame@y' };
    expect(inspect(refusal(environment), { depth: null })).not.toContain('sesame');
  });
});
