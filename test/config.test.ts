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

test('without any setting everything has its default', () => {
  const config = loadConfig({});
  expect(config).toEqual({
    spool: {
      libDir: '/var/lib/kopano/spamd',
      verdicts: ['spam', 'ham'],
      stateDir: '/var/lib/kopano/spamd/.learnd',
      after: 'remove',
      archiveDays: 30,
      maxBytes: 52_428_800,
      settleMs: 2_000,
      sweepMs: 30_000,
      polling: false,
    },
    rspamd: {
      controllers: [{ name: 'http://127.0.0.1:11334', url: 'http://127.0.0.1:11334/' }],
      password: expect.anything() as unknown,
      timeoutMs: 30_000,
    },
    spamd: {
      address: { name: 'spamd://127.0.0.1:783', host: '127.0.0.1', port: 783, tls: false },
      maxBytes: 10_485_760,
      report: false,
      timeoutMs: 30_000,
    },
    trainers: ['rspamd'],
    learning: { concurrency: 8, backlog: 1_000, maxAttempts: 10, userFields: [] },
    statusListen: { host: '127.0.0.1', port: 11_380 },
    log: { level: 5, format: 'auto' },
    shutdownMs: 5_000,
    unknown: [],
    file: undefined,
    isFileClosed: false,
  });
  expect(config.rspamd.password.header()).toBeUndefined();
});

test('an empty variable means the same as an unset one, and those of others nothing', () => {
  const names = [
    ...['KOPANO_SPAMD_LIB', 'RSPAMD_URL', 'RSPAMD_PASSWORD', 'RSPAMD_PASSWORD_FILE'],
    ...['RSPAMD_TIMEOUT_SECONDS', 'RSPAMD_CA_FILE', 'LEARN_AFTER', 'LEARN_STATE_DIR'],
    ...['RSPAMD_FUZZY_FLAGS', 'LEARN_CLASSES'],
    ...['LEARN_ARCHIVE_DAYS', 'LEARN_CONCURRENCY', 'LEARN_BACKLOG', 'LEARN_MAX_BYTES'],
    ...['LEARN_SETTLE_MS', 'LEARN_SWEEP_SECONDS', 'LEARN_POLLING', 'LEARN_MAX_ATTEMPTS'],
    ...['SPAMD_URL', 'SPAMD_USER', 'SPAMD_MAX_BYTES', 'SPAMD_TIMEOUT_SECONDS', 'SPAMD_CA_FILE'],
    ...['SPAMD_REPORT', 'LEARN_USER_HEADER'],
    ...['LEARN_TRAINERS', 'STATUS_LISTEN', 'SYSLOG_LEVEL', 'LOG_FORMAT', 'SHUTDOWN_SECONDS'],
  ];
  const empty = Object.fromEntries(names.map((name) => [name, '']));
  const others = { RSPAMD_HOST: 'x', LEARN: '-1', SYSLOG: 'y' };
  expect(loadConfig({ ...empty, ...others })).toEqual({
    ...loadConfig({}),
    unknown: [{ name: 'RSPAMD_HOST', nearest: 'RSPAMD_URL' }],
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
  ['SPAMD_MAX_BYTES', 1, 2 ** 30, 'whole', ({ spamd }) => spamd.maxBytes],
  ['SPAMD_TIMEOUT_SECONDS', 0.1, 3_600, 'seconds', ({ spamd }) => spamd.timeoutMs / 1000],
  ['LEARN_SWEEP_SECONDS', 0.1, 86_400, 'seconds', ({ spool }) => spool.sweepMs / 1000],
  ['SHUTDOWN_SECONDS', 0, 3_600, 'seconds', ({ shutdownMs }) => shutdownMs / 1000],
])('%s is a number from %d to %d (%s)', (name, min, max, form, read) => {
  for (const value of [min, max]) {
    expect(read(loadConfig({ [name]: String(value) }))).toBe(value);
  }
  if (form === 'seconds') expect(read(loadConfig({ [name]: '1.5' }))).toBe(1.5);
  const odd = ['abc', '5 x', '1,5', '0x10', '1e1', 'NaN', 'Infinity', '-', '٣', '5 5', 'true'];
  const outside = [min - 1, min - 0.05, max + 1].map(String);
  const what = form === 'whole' ? 'a whole number' : 'a number';
  for (const value of [...odd, ...outside, ...(form === 'whole' ? ['1.5', '5.0'] : [])]) {
    expect(faults({ [name]: value })).toEqual([
      expect.stringMatching(
        RegExp(`^  ${name} must be ${what} from ${min} to ${max}(, or .*)?, not '`),
      ),
    ]);
  }
});

test.each<[string, string, (config: Config) => number, number]>([
  ['LEARN_MAX_BYTES', '50M', ({ spool }) => spool.maxBytes, 52_428_800],
  ['LEARN_MAX_BYTES', '1 GiB', ({ spool }) => spool.maxBytes, 2 ** 30],
  ['LEARN_MAX_BYTES', '1.5kB', ({ spool }) => spool.maxBytes, 1_536],
  ['LEARN_SETTLE_MS', '2s', ({ spool }) => spool.settleMs, 2_000],
  ['LEARN_SETTLE_MS', '250ms', ({ spool }) => spool.settleMs, 250],
  ['LEARN_SETTLE_MS', '2.01s', ({ spool }) => spool.settleMs, 2_010],
  ['LEARN_SWEEP_SECONDS', '2min', ({ spool }) => spool.sweepMs, 120_000],
  ['LEARN_SWEEP_SECONDS', '100ms', ({ spool }) => spool.sweepMs, 100],
  ['RSPAMD_TIMEOUT_SECONDS', '1 h', ({ rspamd }) => rspamd.timeoutMs, 3_600_000],
  ['LEARN_ARCHIVE_DAYS', '30d', ({ spool }) => spool.archiveDays, 30],
  ['LEARN_ARCHIVE_DAYS', '4w', ({ spool }) => spool.archiveDays, 28],
  ['LEARN_ARCHIVE_DAYS', '30 days', ({ spool }) => spool.archiveDays, 30],
  ['LEARN_ARCHIVE_DAYS', '1 week', ({ spool }) => spool.archiveDays, 7],
  ['SYSLOG_LEVEL', 'debug', ({ log }) => log.level, 7],
  ['SYSLOG_LEVEL', 'Warn', ({ log }) => log.level, 4],
  ['SYSLOG_LEVEL', 'error', ({ log }) => log.level, 3],
])('%s=%s is understood', (name, text, read, expected) => {
  expect(read(loadConfig({ [name]: text }))).toBe(expected);
});

test.each([
  ['LEARN_ARCHIVE_DAYS', '12h'],
  ['LEARN_MAX_BYTES', '5s'],
  ['LEARN_MAX_BYTES', '2G'],
  ['LEARN_SETTLE_MS', '5M B'],
  ['LEARN_CONCURRENCY', '8k'],
  ['SYSLOG_LEVEL', 'loud'],
])('%s=%s is a fault', (name, text) => expect(faults({ [name]: text })).toHaveLength(1));

describe('what looks like a setting and is none', () => {
  const unknown = (environment: Environment): readonly (string | undefined)[] =>
    loadConfig(environment).unknown.flatMap(({ name, nearest }) => [name, nearest]);

  test.each([
    ['LEARN_AFTR', 'LEARN_AFTER'],
    ['RSPAMD_URI', 'RSPAMD_URL'],
    ['KOPANO_SPAMD_DIR', 'KOPANO_SPAMD_LIB'],
    ['STATUS_LISTENER', 'STATUS_LISTEN'],
    ['KOPANO_LEARND_CONFIG', 'KOPANO_LEARND_CONF'],
    ['SPAMD_QWQWQWQWQWQ', undefined],
  ])('%s is noted, with the nearest: %s', (name, nearest) => {
    expect(unknown({ [name]: 'x' })).toEqual([name, nearest]);
  });

  test('are not those of others, nor what Kubernetes and docker set for a service', () => {
    const environment = {
      PATH: 'x',
      SHUTDOWN: 'x',
      RSPAMD_PORT: 'tcp://10.0.0.1:11334',
      RSPAMD_PORT_11334_TCP: 'tcp://10.0.0.1:11334',
      RSPAMD_PORT_11334_TCP_ADDR: '10.0.0.1',
      RSPAMD_SERVICE_HOST: '10.0.0.1',
      RSPAMD_SERVICE_PORT_CONTROLLER: '11334',
    };
    expect(unknown(environment)).toEqual([]);
  });
});

const libDir = '/srv/spamd';
const state = (stateDir: string): Environment => ({
  KOPANO_SPAMD_LIB: libDir,
  LEARN_STATE_DIR: stateDir,
});

test.each<[Environment, object]>([
  [{ LEARN_AFTER: 'archive' }, { spool: { after: 'archive' } }],
  [{ LOG_FORMAT: 'pretty' }, { log: { format: 'pretty' } }],
  ...['yes', 'YES', 'true', 'on', '1'].map((LEARN_POLLING): [Environment, object] => [
    { LEARN_POLLING },
    { spool: { polling: true } },
  ]),
  ...['no', 'No', 'false', 'off', '0'].map((LEARN_POLLING): [Environment, object] => [
    { LEARN_POLLING },
    { spool: { polling: false } },
  ]),
  [
    { KOPANO_SPAMD_LIB: '/srv//spool/../spamd/' },
    { spool: { libDir, stateDir: '/srv/spamd/.learnd' } },
  ],
  ...['/srv/spamd/spammy', '/srv/spamd/.state', '/srv', '/elsewhere'].map(
    (stateDir): [Environment, object] => [state(stateDir), { spool: { stateDir } }],
  ),
  [{ STATUS_LISTEN: '0.0.0.0:65535' }, { statusListen: { host: '0.0.0.0', port: 65_535 } }],
  [{ STATUS_LISTEN: 'localhost:8080' }, { statusListen: { host: 'localhost', port: 8_080 } }],
  [{ STATUS_LISTEN: '[::1]:9' }, { statusListen: { host: '::1', port: 9 } }],
  [{ STATUS_LISTEN: '[fe80::1%eth0.7]:9' }, { statusListen: { host: 'fe80::1%eth0.7', port: 9 } }],
  [{ STATUS_LISTEN: 'off' }, { statusListen: undefined }],
  [{ LEARN_TRAINERS: 'spamassassin' }, { trainers: ['spamassassin'] }],
  [{ LEARN_TRAINERS: 'spamassassin, rspamd' }, { trainers: ['rspamd', 'spamassassin'] }],
  [{ SPAMD_USER: 'amavis' }, { spamd: { user: 'amavis' } }],
])('%o is taken', (environment, expected) => {
  expect(loadConfig(environment)).toMatchObject(expected);
});

const INSIDE = /^ {2}LEARN_STATE_DIR must not lie inside \/srv\/spamd\/(spam|ham|news)/;
const LISTEN_FORM = /^ {2}STATUS_LISTEN must be HOST:PORT, \[IPV6\]:PORT or off, not '/;
const URL_FORM = /^ {2}RSPAMD_URL must .*http:\/\/HOST:11334/;

test.each<[Environment, string | RegExp]>([
  ...['delete', 'REMOVE', 'remove '].map((value): [Environment, string] => [
    { LEARN_AFTER: value },
    `  LEARN_AFTER must be remove or archive, not '${value}'`,
  ]),
  [{ LOG_FORMAT: 'Json' }, "  LOG_FORMAT must be auto, json or pretty, not 'Json'"],
  ...['2', 'y', 'ja', 'yes!'].map((value): [Environment, string] => [
    { LEARN_POLLING: value },
    `  LEARN_POLLING must be yes or no, not '${value}'`,
  ]),
  ...['KOPANO_SPAMD_LIB', 'LEARN_STATE_DIR'].flatMap((name) =>
    ['spool', './spool', '~/spool'].map((value): [Environment, string] => [
      { [name]: value },
      `  ${name} must be an absolute path, not '${value}'`,
    ]),
  ),
  ...['spam', 'ham', 'spam/deep', 'x/../ham/'].map((name): [Environment, RegExp] => [
    state(`/srv/spamd/${name}`),
    INSIDE,
  ]),
  [state('/srv/spamd/'), /^ {2}LEARN_STATE_DIR must not be KOPANO_SPAMD_LIB itself/],
  ...['11380', ':11380', 'host', 'host:', 'host:x', 'host:65536', '::1:9', '[::1%]:9', 'no'].map(
    (value): [Environment, RegExp] => [{ STATUS_LISTEN: value }, LISTEN_FORM],
  ),
  [
    { STATUS_LISTEN: '127.0.0.1:0' },
    "  STATUS_LISTEN must have a port from 1 to 65535, not '127.0.0.1:0'",
  ],
  ...[
    ...['rspamd', 'localhost:11334', '127.0.0.1:11334', 'ftp://rspamd:11334', 'http://', ','],
    ...['http://rspamd:99999', 'unix:relative.sock', 'unix:', 'http://rspamd?x=1'],
    ...['http://rspamd/#x', 'file:///run/rspamd.sock'],
  ].map((RSPAMD_URL): [Environment, RegExp] => [{ RSPAMD_URL }, URL_FORM]),
  [{ RSPAMD_URL: 'http://a,nonsense' }, /^ {2}RSPAMD_URL entry 2 must/],
  [{ RSPAMD_URL: 'http://a:1,http://a:1/' }, '  RSPAMD_URL names http://a:1 twice'],
  [{ RSPAMD_URL: 'unix:/a,http://b,unix:///a' }, '  RSPAMD_URL names unix:/a twice'],
  ...['11', 'spam', 'spam:', 'spam:x', 'spam:11;ham:13', 'spam:11,', 'spam:-1', 'spam:1:2:3'].map(
    (value): [Environment, RegExp] => [
      { RSPAMD_FUZZY_FLAGS: value },
      /^ {2}RSPAMD_FUZZY_FLAGS must be CLASS:FLAG or CLASS:FLAG:WEIGHT, .*such as spam:11,ham:13, not '/,
    ],
  ),
  [
    { RSPAMD_FUZZY_FLAGS: 'spam:11,news:12' },
    "  RSPAMD_FUZZY_FLAGS names the class 'news', which is none of spam, ham",
  ],
  ...['news letter', 'a/b', '.news', '-news', '1st', 'news,', ',', 'x'.repeat(33), 'néws'].map(
    (value): [Environment, RegExp] => [
      { LEARN_CLASSES: value },
      /^ {2}LEARN_CLASSES must be names of rspamd's classes, separated by commas, .*, not '/,
    ],
  ),
  ...['spam', 'Ham', 'news,spam'].map((value): [Environment, RegExp] => [
    { LEARN_CLASSES: value },
    /^ {2}LEARN_CLASSES names (spam|Ham), which is always there; name further classes only$/,
  ]),
  [
    { LEARN_CLASSES: 'Queue' },
    /^ {2}LEARN_CLASSES names Queue, which is a folder of the state dir/,
  ],
  [{ LEARN_CLASSES: 'news,news' }, '  LEARN_CLASSES names news twice'],
  [
    { LEARN_CLASSES: 'news', LEARN_TRAINERS: 'rspamd,spamassassin' },
    '  LEARN_CLASSES needs rspamd alone in LEARN_TRAINERS: SpamAssassin knows spam and ham, and no others',
  ],
  [{ ...state('/srv/spamd/news'), LEARN_CLASSES: 'news' }, INSIDE],
  [{ RSPAMD_FUZZY_FLAGS: 'spam:11,spam:12' }, '  RSPAMD_FUZZY_FLAGS names spam twice'],
  [{ RSPAMD_FUZZY_FLAGS: 'spam:11,ham:11' }, '  RSPAMD_FUZZY_FLAGS gives two classes the flag 11'],
  ...['spam:0', 'spam:11:0', 'spam:4294967296'].map((value): [Environment, RegExp] => [
    { RSPAMD_FUZZY_FLAGS: value },
    /^ {2}RSPAMD_FUZZY_FLAGS must have flags and weights from 1 to 2147483647, not '/,
  ]),
  [{ RSPAMD_CA_FILE: '/nowhere/x' }, '  RSPAMD_CA_FILE (/nowhere/x) cannot be read (ENOENT)'],
  ...[',', 'spamd', 'rspamd,rspamd', 'rspamd,', 'rspamd;spamassassin'].map(
    (value): [Environment, RegExp] => [
      { LEARN_TRAINERS: value },
      /^ {2}LEARN_TRAINERS must be one or more of rspamd, spamassassin/,
    ],
  ),
  ...['127.0.0.1', 'spamd://', 'http://127.0.0.1:783', 'unix:spamd.sock', 'exec:sa-learn'].map(
    (value): [Environment, RegExp] => [
      { SPAMD_URL: value },
      /^ {2}SPAMD_URL must be spamd:\/\/HOST:783, .*exec:\/usr\/bin\/sa-learn$/,
    ],
  ),
  [{ SPAMD_URL: 'spamd://a:70000' }, /^ {2}SPAMD_URL must be .*with a port from 1 to 65535/],
  [
    { SPAMD_REPORT: 'yes', SPAMD_URL: 'exec:/usr/bin/sa-learn' },
    '  SPAMD_REPORT needs a spamd in SPAMD_URL: sa-learn reports nothing',
  ],
  [{ SPAMD_USER: 'a b' }, /^ {2}SPAMD_USER must be the name of a user/],
  [{ SPAMD_USER: 'a\nSet: remote' }, /^ {2}SPAMD_USER must be the name of a user/],
  [{ RSPAMD_CA_FILE: '/' }, '  RSPAMD_CA_FILE (/) cannot be read (EISDIR)'],
])('%o is a fault that shows the form', (environment, line) => {
  expect(faults(environment)).toEqual([
    typeof line === 'string' ? line : expect.stringMatching(line),
  ]);
});

test.each([
  ['http://rspamd:11334', 'http://rspamd:11334', 'http://rspamd:11334/', undefined],
  ['https://rspamd/prefix', 'https://rspamd/prefix', 'https://rspamd/prefix/', undefined],
  ['https://rspamd/a/b/', 'https://rspamd/a/b', 'https://rspamd/a/b/', undefined],
  ['http://[::1]:11334', 'http://[::1]:11334', 'http://[::1]:11334/', undefined],
  ['unix:/run/r.sock', 'unix:/run/r.sock', 'http://localhost/', '/run/r.sock'],
  ['unix:///run/r.sock', 'unix:/run/r.sock', 'http://localhost/', '/run/r.sock'],
])('RSPAMD_URL=%s is a controller', (RSPAMD_URL, name, url, socketPath) => {
  expect(loadConfig({ RSPAMD_URL }).rspamd.controllers).toEqual([{ name, url, socketPath }]);
});

test('RSPAMD_FUZZY_FLAGS names the flag of each class, and perhaps a weight', () => {
  const { fuzzy } = loadConfig({ RSPAMD_FUZZY_FLAGS: 'spam:11:10, ham:13' }).rspamd;
  expect([...(fuzzy ?? [])]).toEqual([
    ['spam', { flag: 11, weight: 10 }],
    ['ham', { flag: 13, weight: 1 }],
  ]);
});

test('LEARN_CLASSES names further classes, which may have fuzzy flags, too', () => {
  const { spool, rspamd } = loadConfig({
    LEARN_CLASSES: 'newsletter, Bulk_2',
    RSPAMD_FUZZY_FLAGS: 'newsletter:12',
  });
  expect(spool.verdicts).toEqual(['spam', 'ham', 'newsletter', 'Bulk_2']);
  expect([...(rspamd.fuzzy ?? [])]).toEqual([['newsletter', { flag: 12, weight: 1 }]]);
});

test('RSPAMD_URL may name several, with blanks and stray commas between them', () => {
  const { controllers } = loadConfig({
    RSPAMD_URL: ' http://a:1 ,, unix:/b.sock,https://c ,',
  }).rspamd;
  expect(controllers.map(({ name }) => name)).toEqual(['http://a:1', 'unix:/b.sock', 'https://c']);
});

describe('the password', () => {
  const header = (environment: Environment): string | undefined =>
    loadConfig(environment).rspamd.password.header();

  test.each([
    ...['http://user:sesame@rspamd:11334', 'http://:sesame@rspamd', 'http://sesame@rspamd'],
    ...['http://a,https://user:sesame@rspamd/x', 'http://user:sesame@', 'nonsense:sesame'],
    ...['http://a b:sesame@c', 'unix:sesame'],
  ])('in RSPAMD_URL=%s is a fault that does not repeat it', (RSPAMD_URL) => {
    const error = refusal({ RSPAMD_URL });
    expect(error.message).toMatch(/RSPAMD_URL must (be|not hold a user or a password|entry)/);
    expect(inspect(error, { depth: null })).not.toContain('sesame');
  });

  test.each(['sesame', ' sesame ', 'se"s\\ame', '#$%'])('is taken as it is: %s', (value) => {
    expect(header({ RSPAMD_PASSWORD: value })).toBe(value);
    for (const end of ['', '\n', '\r\n']) {
      expect(header({ RSPAMD_PASSWORD_FILE: fileWith(`${value}${end}`) })).toBe(value);
    }
  });

  const CONTROL = /control character or a line break/;
  test.each<[string, () => Environment, RegExp]>([
    [
      'set twice',
      () => ({ RSPAMD_PASSWORD: 'sesame', RSPAMD_PASSWORD_FILE: fileWith('sesame') }),
      /RSPAMD_PASSWORD and RSPAMD_PASSWORD_FILE are both set/,
    ],
    [
      'in an empty file',
      () => ({ RSPAMD_PASSWORD_FILE: fileWith('') }),
      /file\) holds no password/,
    ],
    ['in a mere newline', () => ({ RSPAMD_PASSWORD_FILE: fileWith('\n') }), /holds no password/],
    ['in two lines', () => ({ RSPAMD_PASSWORD_FILE: fileWith('sesame\nsesame\n') }), CONTROL],
    ['with two newlines', () => ({ RSPAMD_PASSWORD_FILE: fileWith('sesame\n\n') }), CONTROL],
    ['with a NUL', () => ({ RSPAMD_PASSWORD_FILE: fileWith('ses\0ame') }), CONTROL],
    ['with a line break', () => ({ RSPAMD_PASSWORD: 'sesame\nsesame' }), CONTROL],
    [
      'in a file that is not there',
      () => ({ RSPAMD_PASSWORD_FILE: '/nowhere/missing' }),
      /\(\/nowhere\/missing\) cannot be read \(ENOENT\)/,
    ],
    ['in a folder', () => ({ RSPAMD_PASSWORD_FILE: '/' }), /\(\/\) cannot be read \(EISDIR\)/],
    [
      'in the place of its file',
      () => ({ RSPAMD_PASSWORD_FILE: 'sesame', RSPAMD_URL: 'http://x:sesame@y' }),
      /the value is no path and is not shown/,
    ],
  ])('%s is a fault that does not repeat it', (_, environment, says) => {
    const error = refusal(environment());
    expect(error.message).toMatch(says);
    expect(inspect(error, { depth: null })).not.toMatch(/sesame|\bses|ame\b/);
  });

  test('is not shown where the settings are printed', () => {
    const config = loadConfig({ RSPAMD_PASSWORD: 'sesame' });
    expect(JSON.stringify(config)).not.toContain('sesame');
    expect(inspect(config, { depth: null, showHidden: true })).not.toContain('sesame');
  });
});

test('RSPAMD_CA_FILE is read, and must hold a certificate', () => {
  const pem = '-----BEGIN CERTIFICATE-----\nxyz\n-----END CERTIFICATE-----\n';
  expect(loadConfig({ RSPAMD_CA_FILE: fileWith(pem) }).rspamd.ca).toBe(pem);
  const key = fileWith('-----BEGIN PRIVATE KEY-----\nsesame\n');
  expect(faults({ RSPAMD_CA_FILE: key })).toEqual([
    `  RSPAMD_CA_FILE (${key}) holds no certificate in PEM form`,
  ]);
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
    expect(error.hint).toBe('correct the environment; man kopano-learnd lists every setting');
    const lines = error.message.split('\n');
    expect(lines[0]).toBe('19 settings are wrong:');
    expect(refusal({ SYSLOG_LEVEL: '8' }).message).toMatch(/^a setting is wrong:\n/);
    expect(lines.slice(1)).toHaveLength(19);
    for (const name of Object.keys(wrong)) {
      expect(lines.filter((line) => line.startsWith(`  ${name} `))).toHaveLength(1);
    }
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
});

test.each([
  ['spamd://127.0.0.1', { name: 'spamd://127.0.0.1:783', host: '127.0.0.1', port: 783 }],
  ['spamd://sa.example:784/', { name: 'spamd://sa.example:784', host: 'sa.example', port: 784 }],
  ['spamds://[::1]:785', { name: 'spamds://[::1]:785', host: '::1', port: 785, tls: true }],
  ['unix:/run/spamd.sock', { name: 'unix:/run/spamd.sock', socketPath: '/run/spamd.sock' }],
  ['unix:///run/spamd.sock', { name: 'unix:/run/spamd.sock', socketPath: '/run/spamd.sock' }],
  ['exec:/usr/bin/sa-learn', { name: 'exec:/usr/bin/sa-learn', program: '/usr/bin/sa-learn' }],
])('SPAMD_URL=%s is where SpamAssassin is taught', (SPAMD_URL, address) => {
  expect(loadConfig({ SPAMD_URL }).spamd.address).toMatchObject(address);
});
