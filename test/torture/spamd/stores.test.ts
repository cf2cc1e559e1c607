import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PrivateSpamd } from '../../lab/private-spamd.ts';
import { findProgram } from '../../../src/servers/programs.ts';
import { makeMessage } from '../../lab/messages.ts';
import { startRedis } from '../../real/harness.ts';
import { ROOT, needs, needsPrograms } from '../../support/needs.ts';
import { NEVER, example, prove, trainerAt } from '../../trainers/spamassassin/connect.ts';
import { SPAMD, startSpamd } from '../../trainers/spamassassin/real-spamd.ts';
import { PrivateMariadb, USER } from './private-mariadb.ts';

const [SPAM, HAM] = [makeMessage('spam', 1).raw, makeMessage('ham', 1).raw];

const hasSqlite = spawnSync('perl', ['-MDBD::SQLite', '-e', '1'], { stdio: 'ignore' }).status === 0;
const SQLITE = needs('libdbd-sqlite3-perl', hasSqlite);

const hasMysql = spawnSync('perl', ['-MDBD::mysql', '-e', '1'], { stdio: 'ignore' }).status === 0;
const programs = ['mariadbd', 'mariadb-install-db', 'mariadb'];
const hasMariadb = hasMysql && programs.every((name) => findProgram(name, process.env['PATH']));
const MARIADB = needs('mariadb-server-core, mariadb-client-core, libdbd-mysql-perl', hasMariadb);

/** SpamAssassin's tables (its bayes_mysql.sql), as SQLite takes them. */
const TABLES = [
  'bayes_expire (id INTEGER, runtime INTEGER)',
  'bayes_global_vars (variable VARCHAR(30) PRIMARY KEY, value VARCHAR(200))',
  "bayes_seen (id INTEGER, msgid VARCHAR(200), flag CHAR(1) DEFAULT '', PRIMARY KEY (id, msgid))",
  'bayes_token (id INTEGER, token BLOB, spam_count INTEGER DEFAULT 0, ham_count INTEGER DEFAULT 0, atime INTEGER DEFAULT 0, PRIMARY KEY (id, token))',
  "bayes_vars (id INTEGER PRIMARY KEY, username VARCHAR(200) DEFAULT '' UNIQUE, spam_count INTEGER DEFAULT 0, ham_count INTEGER DEFAULT 0, token_count INTEGER DEFAULT 0, last_expire INTEGER DEFAULT 0, last_atime_delta INTEGER DEFAULT 0, last_expire_reduce INTEGER DEFAULT 0, oldest_token_age INTEGER DEFAULT 2147483647, newest_token_age INTEGER DEFAULT 0)",
];

const VERSION = "INSERT INTO bayes_global_vars VALUES ('VERSION', '3')";

/** A file with these tables, beside where Bayes lies. */
function makeDatabase(spamd: PrivateSpamd): string {
  const folder = dirname(spamd.bayesPath);
  const file = join(folder, 'bayes.sqlite');
  const statements = [...TABLES.map((table) => `CREATE TABLE ${table}`), VERSION];
  const script =
    'use DBI; my $db = DBI->connect("dbi:SQLite:$ARGV[0]", "", "", {RaiseError => 1}); $db->do($_) for @ARGV[1 .. $#ARGV];';
  execFileSync('perl', ['-e', script, file, ...statements]);
  const { uid, gid } = statSync(folder);
  chownSync(file, uid, gid);
  return file;
}

/** Its configuration names the file, so that it has to be started anew. */
async function useDatabase(spamd: PrivateSpamd): Promise<string> {
  const file = makeDatabase(spamd);
  const lines = [
    'bayes_store_module Mail::SpamAssassin::BayesStore::SQL',
    `bayes_sql_dsn dbi:SQLite:${file}`,
    'bayes_sql_override_username everybody',
  ];
  appendFileSync(join(spamd.folder, 'site/local.cf'), `${lines.join('\n')}\n`);
  await spamd.restart();
  return file;
}

describe('a Bayes in SQL', () => {
  test(
    'learns, and is found out once it refuses writes, which it denies',
    { ...SQLITE, ...SPAMD, ...ROOT },
    async () => {
      await using spamd = await startSpamd();
      const file = await useDatabase(spamd);
      const trainer = trainerAt(spamd);
      expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
      expect(await prove(trainer, example('ham', SPAM))).toEqual(['learned', 'duplicate']);
      expect(await prove(trainerAt(spamd), example('ham', SPAM))).toEqual(['duplicate']);
      chmodSync(file, 0o444);
      const readOnly = {
        kind: 'misconfigured',
        hint: expect.stringContaining('bayes_sql_dsn') as string,
      };
      // What it says of a new message is believed twice, and then put to the test.
      const message = example('ham', HAM);
      expect(await prove(trainer, message, 2)).toEqual(['learned', 'learned']);
      expect(await trainer.learn(message, NEVER)).toMatchObject(readOnly);
      expect(await trainerAt(spamd).learn(example('ham', SPAM), NEVER)).toMatchObject(readOnly);
      chmodSync(file, 0o644);
      expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
    },
  );
});

/** Makes the same tables in MariaDB. @returns how spamd finds them */
async function tablesIn(mariadb: PrivateMariadb, module: string): Promise<readonly string[]> {
  const tables = TABLES.map((table) =>
    table
      .replace('BLOB', 'BINARY(5)')
      .replace('id INTEGER PRIMARY', 'id INTEGER AUTO_INCREMENT PRIMARY'),
  );
  const statements = [...tables.map((table) => `CREATE TABLE bayes.${table}`), VERSION];
  await mariadb.query(`USE bayes; ${statements.join('; ')}`);
  return [
    `bayes_store_module Mail::SpamAssassin::BayesStore::${module}`,
    `bayes_sql_dsn dbi:mysql:bayes;mysql_socket=${mariadb.socketPath}`,
    `bayes_sql_username ${USER}`,
    'bayes_sql_override_username everybody',
  ];
}

describe('a Bayes in MariaDB', { ...MARIADB, ...SPAMD }, () => {
  test.each(['SQL', 'MySQL'])(
    'learns by BayesStore::%s, counts each message once, and blames none while it can’t',
    async (module) => {
      await using mariadb = await PrivateMariadb.start();
      await using spamd = await startSpamd({ config: await tablesIn(mariadb, module) });
      const trainer = trainerAt(spamd);
      const counts = () => mariadb.query('SELECT spam_count, ham_count FROM bayes.bayes_vars');
      const [message, turned] = [example('spam', SPAM), example('ham', SPAM)];
      expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
      expect(await prove(trainerAt(spamd), message)).toEqual(['duplicate']);
      expect(await counts()).toBe('1\t0');
      expect(await prove(trainer, turned)).toEqual(['learned', 'duplicate']);
      expect(await counts()).toBe('0\t1');
      const hint = expect.stringContaining('bayes_sql_dsn') as string;
      await mariadb.query('SET GLOBAL read_only = 1');
      const other = example('ham', HAM);
      expect(await prove(trainer, other, 2)).toEqual(['learned', 'learned']);
      expect(await trainer.learn(other, NEVER)).toMatchObject({ kind: 'misconfigured', hint });
      await mariadb.query('SET GLOBAL read_only = 0');
      expect(await prove(trainer, other)).toEqual(['learned', 'duplicate']);
      await mariadb.stop();
      expect(await trainer.learn(message, NEVER)).toMatchObject({
        kind: 'misconfigured',
        hint: expect.stringContaining('SQL') as string,
      });
      await mariadb.start();
      expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
      expect(await counts()).toBe('1\t1');
    },
  );
});

describe('a Bayes in Redis', needsPrograms('spamd', 'redis-server'), () => {
  test('learns, and no message is charged while Redis is full or away', async () => {
    await using redis = await startRedis();
    await using spamd = await startSpamd({
      config: [
        'bayes_store_module Mail::SpamAssassin::BayesStore::Redis',
        `bayes_sql_dsn server=127.0.0.1:${redis.port};database=2`,
      ],
    });
    const trainer = trainerAt(spamd);
    const message = example('spam', SPAM);
    expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
    expect(await prove(trainer, example('ham', SPAM))).toEqual(['learned', 'duplicate']);
    const deaf = { kind: 'misconfigured', hint: expect.stringContaining('Redis') as string };
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    expect(await trainer.learn(message, NEVER)).toMatchObject(deaf);
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
    await redis.stop();
    expect(await trainer.learn(example('ham', HAM), NEVER)).toMatchObject(deaf);
    await redis.start();
    expect(await prove(trainer, example('ham', HAM))).toEqual(['learned', 'duplicate']);
  });
});

describe('a lock on Bayes', () => {
  test('that a killed process left is for later, and no proof of anything', SPAMD, async () => {
    await using spamd = await startSpamd();
    const trainer = trainerAt(spamd);
    const message = example('spam', SPAM);
    expect((await trainer.learn(message, NEVER)).kind).toBe('learned');
    const lock = `${spamd.bayesPath}.lock`;
    expect(existsSync(lock)).toBe(false);
    // Nobody has this process id: it is above what the kernel gives.
    writeFileSync(lock, 'somehost.4194305\n');
    const outcome = await trainer.learn(message, NEVER);
    const reason = expect.stringContaining('locked') as string;
    expect(outcome).toEqual({ kind: 'unavailable', reason, contact: 'answered' });
    await spamd.unlock();
    expect(await prove(trainer, message)).toEqual(['duplicate']);
  });
});
