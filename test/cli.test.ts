import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { call, runCli as run, start } from './support/run-cli.ts';
import { temporaryFolder } from './support/temporary.ts';

/** The command line: words in, exit code, data and prose out. */

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { readonly version: string };

describe('help and version', () => {
  test.each([['--help'], ['-h'], ['help']])(
    '%s lists the commands, each with a help',
    async (word) => {
      const { code, out, err } = await run([word]);
      expect([code, err]).toEqual([0, '']);
      expect(out).toMatch(/^Usage: kopano-learnd /);
      const listed = [...out.slice(out.indexOf('Commands:')).matchAll(/^ {2}([a-z]+)\b/gm)];
      const commands = listed.map(([, name = '']) => name).filter((name) => name !== 'help');
      expect(commands).toEqual(expect.arrayContaining(['watch', 'relearn', 'status', 'demo']));
      for (const command of commands) {
        const help = await run([command, '--help']);
        expect(help).toMatchObject({ code: 0, err: '' });
        expect(help.out).toContain(`kopano-learnd ${command}`);
      }
    },
  );

  test('neither needs a setting that is right', async () => {
    const wrong = { RSPAMD_URL: 'nonsense', SYSLOG_LEVEL: '99' };
    expect(await run(['watch', '--help'], wrong)).toMatchObject({ code: 0, err: '' });
    const said = { code: 0, out: `${version}\n`, err: '' };
    expect(await run(['--version'], wrong)).toEqual(said);
    expect(await run(['-V'], wrong)).toEqual(said);
  });
});

test('the demo is a checkout’s: the installed program says so', async () => {
  const { code, out, err } = await run(['demo']);
  expect([code, out]).toEqual([64, '']);
  expect(err).toMatch(/no part of the installed program\ncure: .*\n {2}npm ci && npm run demo\n$/);
});

describe('a wrong word', () => {
  test.each([
    [['wacth'], "unknown command 'wacth'\n(Did you mean watch?)"],
    [['zzzzzz'], "unknown command 'zzzzzz'\n(see kopano-learnd --help)"],
    [['--onec'], "unknown option '--onec'\n(Did you mean --once?)"],
    [['watch', '--onec'], "unknown option '--onec'\n(Did you mean --once?)"],
    [['watch', 'spam'], 'too many arguments'],
    [['quarantine', 'lits'], "unknown command 'lits'\n(Did you mean list?)"],
    [['quarantine', 'show'], "missing required argument 'name'"],
    [['quarantine', 'release'], 'no message is named'],
    [['quarantine', 'drop'], 'no message is named'],
    [['quarantine', 'release', '--all', 'a'], '--all and names exclude each other'],
    [['relearn'], /needs something to learn\ncure: .*spam\/.*--spam PATH/],
    [['relearn', '--concurrency', '0', '/'], /'--concurrency .*whole number/],
    [['relearn', '--concurrency', '1e3', '/'], /'--concurrency .*whole number/],
    [['relearn', '--limit', 'ten', '/'], /'--limit .*whole number/],
    [['relearn', '--limit', '-1', '/'], /'--limit .*whole number/],
    [['relearn', '--wait', '1.5', '/'], /'--wait .*whole number/],
    [['relearn', '--spam', '-', '--ham', '-'], 'given twice'],
    [['relearn', '-'], /--spam - or --ham -/],
    [['relearn', '--dry-run', '/etc'], '/etc holds neither spam/ nor ham/'],
    [['relearn', '--dry-run', '/nowhere/x'], 'there is no /nowhere/x\ncure: correct the path'],
    [
      ['relearn', '--user', 'kopano', '/'],
      /must be the address of the user whose memory learns.*kopano-learnd --user NAME relearn/,
    ],
  ])('is a usage error that says what may be meant: %j', async (args, says) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toMatch(says);
  });

  test('that is missing is one, too', async () => {
    const { code, out, err } = await run(['quarantine']);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toMatch(/^Usage: kopano-learnd quarantine /);
  });
});

/** The settings of a spool that has a message in its quarantine. */
function quarantined(body: string): { KOPANO_SPAMD_LIB: string } {
  const folder = temporaryFolder();
  const place = join(folder, '.learnd/quarantine/spam');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'a.eml'), body);
  writeFileSync(join(place, 'a.eml.json'), '{"reason":"500 no"}');
  return { KOPANO_SPAMD_LIB: folder };
}

test.each([[['status', '--json']], [['quarantine', 'show', 'a.eml']]])(
  'half an answer is no success, on a disk that is full: %j',
  async (args) => {
    const full = openSync('/dev/full', 'w');
    const { code, err } = await run(args, quarantined('x'.repeat(100_000)), { stdout: full });
    closeSync(full);
    expect(code).toBe(1);
    expect(err).toMatch(/standard output can't be written to \(ENOSPC\).*\ncure: make room/);
  },
);

test('a quarantined message comes byte for byte through a pipe, its reason on stderr', async () => {
  const body = `Subject: x\r\n\r\n${'line of text\n'.repeat(50_000)}`;
  const environment = quarantined(body);
  const { code, out, err } = await start(['quarantine', 'show', 'a.eml'], environment);
  expect(code).toBe(0);
  expect(out).toBe(body);
  expect(err).toMatch(/^spam\/a\.eml: 500 no$/m);
});

describe('settings', () => {
  test('that are wrong are all told on stderr, exit 78, without the password', async () => {
    const { code, out, err } = await run(['watch'], {
      KOPANO_SPAMD_LIB: 'relative',
      RSPAMD_URL: 'http://user:sesame@rspamd',
      RSPAMD_PASSWORD: 'sesame\nsesame',
      SYSLOG_LEVEL: '8',
      LEARN_MAX_BYTES: 'much',
    });
    expect(code).toBe(78);
    expect(out).toBe('');
    expect(err).toMatch(/^kopano-learnd: 5 settings are wrong:\n( {2}.*\n){5}cure: /);
    for (const name of ['KOPANO_SPAMD_LIB', 'RSPAMD_URL', 'SYSLOG_LEVEL', 'LEARN_MAX_BYTES']) {
      expect(err).toMatch(new RegExp(`^ {2}${name} must`, 'm'));
    }
    expect(err).not.toContain('sesame');
    expect(err).not.toContain('    at '); // a stack is for bugs
  });

  const WRONG = { LEARN_SETTLE_MS: '2 fortnights', LEARN_MAX_BYTES: 'some megabytes, as usual' };

  test('that are wrong fit the terminal, wrapped between words', async () => {
    const { code, err } = await call(['watch'], WRONG, { columns: 60 });
    expect(code).toBe(78);
    expect(err).toMatch(/^ {2}LEARN_MAX_BYTES must be .*\n(?: {4}.*\n)* {4}usual'$/m);
    expect(Math.max(...err.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
  });

  test('that are wrong are errors to journald, line by line', async () => {
    const { err } = await call(['watch'], WRONG, { isJournal: true });
    expect(err).toMatch(/^(<3>.+\n){4}$/);
  });

  test.each<[string, (folder: string) => Record<string, string>, RegExp]>([
    [
      'a state dir with other things in it that others can write',
      (folder) => {
        mkdirSync(join(folder, 'shared', 'others'), { recursive: true });
        chmodSync(join(folder, 'shared'), 0o775);
        return { LEARN_STATE_DIR: join(folder, 'shared') };
      },
      /can be written by others[^]*^cure: set LEARN_STATE_DIR to a folder of its own/m,
    ],
    ['no flock on the PATH', (folder) => ({ PATH: folder }), /flock[^]*apt-get install util-linux/],
  ])('that mean %s are refused with the cure', async (_, spoil, says) => {
    const folder = temporaryFolder();
    for (const name of ['spam', 'ham']) mkdirSync(join(folder, name));
    const environment = { KOPANO_SPAMD_LIB: folder, ...spoil(folder) };
    const { code, err } = await run(['watch', '--once'], environment);
    expect(code).toBe(78);
    expect(err).toMatch(says);
  });

  test('of a state dir of our own that others can write are told once, and it is ours alone', async () => {
    const folder = temporaryFolder();
    for (const name of ['spam', 'ham', '.learnd']) mkdirSync(join(folder, name));
    chmodSync(join(folder, '.learnd'), 0o2770);
    const { code, out } = await run(['watch', '--once'], { KOPANO_SPAMD_LIB: folder });
    expect(code).toBe(0);
    expect(
      out.match(/"event":"spool.adjusted","path":"[^"]*\.learnd","mode":"2770"/g),
    ).toHaveLength(1);
    expect(statSync(join(folder, '.learnd')).mode & 0o7777).toBe(0o700);
  });
});

test('relearn says what it would learn as wide as the terminal', async () => {
  const folder = join(temporaryFolder(), 'ham', 'a folder '.repeat(12).trim());
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'a.eml'), 'no mail');
  const args = ['relearn', '--dry-run', '--ham', folder];
  const { out } = await call(args, {}, { columns: 80 });
  expect(out).toMatch(/^Nothing was posted/);
  expect(out.replace(/\n {4}/g, ' ')).toContain(folder);
  expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect((await call(args, {})).out).toContain(`${folder}/a.eml: `);
});

test('no command means watch', async () => {
  const environment = { KOPANO_SPAMD_LIB: join(temporaryFolder(), 'missing') };
  for (const words of [['--once'], ['watch', '--once']]) {
    const { code, out, err } = await run(words, environment);
    expect([code, err]).toEqual([75, '']);
    const events = [...out.matchAll(/"event":"([^"]*)"/g)].map(([, event]) => event);
    expect(events).toEqual(['daemon.started', 'spool.missing', 'daemon.stopped']);
  }
});

test('on a terminal the bare name shows the help and what would be watched, as wide as that', async () => {
  const environment = { KOPANO_SPAMD_LIB: temporaryFolder(), RSPAMD_URL: 'http://mail.example:1' };
  const { code, out, err } = await call([], environment, { columns: 60 });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^Usage: /);
  const other = {
    ...environment,
    LEARN_TRAINERS: 'spamassassin',
    SPAMD_URL: 'spamd://sa.example:783',
  };
  const { out: alone } = await call([], other, { columns: 200 });
  expect(alone).toContain('and teach spamd://sa.example:783');
  expect(out).toContain('\nSettings are lines NAME=VALUE of /etc/kopano-learnd.conf');
  expect((await run(['watch', '--help'])).out).toContain('\nSettings are lines');
  const [, told = ''] = out.split(/\n\n(?=kopano-learnd watch would watch)/);
  expect(told.replace(/\s+/g, ' ')).toContain('and teach http://mail.example:1');
  expect(Math.max(...told.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
});
