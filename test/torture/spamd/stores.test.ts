import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TestOptions } from 'vitest';
import { findProgram } from '../../../src/servers/programs.ts';
import { makeMessage } from '../../lab/messages.ts';
import { startRedis } from '../../real/harness.ts';
import { ROOT, needs, needsPrograms } from '../../support/needs.ts';
import { NOBODY, temporaryFolder } from '../../support/temporary.ts';
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

/** A Bayes in SQL. */
interface Store {
  /** How spamd finds it. */
  readonly config: readonly string[];
  readonly setReadOnly: (isSo: boolean) => unknown;
  readonly server?: PrivateMariadb;
}

/** A file in a folder of spamd's user. */
function sqlite(): Store {
  const folder = temporaryFolder();
  const file = join(folder, 'bayes.sqlite');
  const statements = [...TABLES.map((table) => `CREATE TABLE ${table}`), VERSION];
  const script =
    'use DBI; my $db = DBI->connect("dbi:SQLite:$ARGV[0]", "", "", {RaiseError => 1}); $db->do($_) for @ARGV[1 .. $#ARGV];';
  execFileSync('perl', ['-e', script, file, ...statements]);
  for (const each of [folder, file]) chownSync(each, NOBODY, NOBODY);
  return {
    config: [
      'bayes_store_module Mail::SpamAssassin::BayesStore::SQL',
      `bayes_sql_dsn dbi:SQLite:${file}`,
    ],
    setReadOnly: (isSo) => chmodSync(file, isSo ? 0o444 : 0o644),
  };
}

async function mariadb(module: string): Promise<Store> {
  const server = await PrivateMariadb.start();
  const tables = TABLES.map((table) =>
    table
      .replace('BLOB', 'BINARY(5)')
      .replace('id INTEGER PRIMARY', 'id INTEGER AUTO_INCREMENT PRIMARY'),
  );
  const statements = [...tables.map((table) => `CREATE TABLE bayes.${table}`), VERSION];
  await server.query(`USE bayes; ${statements.join('; ')}`);
  return {
    config: [
      `bayes_store_module Mail::SpamAssassin::BayesStore::${module}`,
      `bayes_sql_dsn dbi:mysql:bayes;mysql_socket=${server.socketPath}`,
      `bayes_sql_username ${USER}`,
    ],
    setReadOnly: (isSo) => server.query(`SET GLOBAL read_only = ${Number(isSo)}`),
    server,
  };
}

const STORES: readonly (readonly [
  what: string,
  needed: TestOptions,
  make: () => Store | Promise<Store>,
])[] = [
  ['SQLite', { ...SQLITE, ...ROOT }, sqlite],
  ['MariaDB, by BayesStore::SQL', MARIADB, () => mariadb('SQL')],
  ['MariaDB, by BayesStore::MySQL', MARIADB, () => mariadb('MySQL')],
];

describe(
  'a Bayes in SQL counts each message once, and blames none while it can’t learn',
  SPAMD,
  () => {
    for (const [what, needed, make] of STORES) {
      test(what, needed, async () => {
        const { config, setReadOnly, ...store } = await make();
        await using server = store.server;
        await using spamd = await startSpamd({
          config: [...config, 'bayes_sql_override_username everybody'],
        });
        const trainer = trainerAt(spamd);
        const [message, turned, other] = [
          example('spam', SPAM),
          example('ham', SPAM),
          example('ham', HAM),
        ];
        expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
        expect(await prove(trainerAt(spamd), message)).toEqual(['duplicate']);
        expect(await spamd.counts()).toMatchObject({ spam: 1, ham: 0 });
        expect(await prove(trainer, turned)).toEqual(['learned', 'duplicate']);
        expect(await spamd.counts()).toMatchObject({ spam: 0, ham: 1 });
        await setReadOnly(true);
        const hint = expect.stringContaining('bayes_sql_dsn') as string;
        // What it says of a new message is believed twice, and then put to the test.
        expect(await prove(trainer, other, 2)).toEqual(['learned', 'learned']);
        for (const [each, learned] of [
          [trainer, other],
          [trainerAt(spamd), turned],
        ] as const) {
          expect(await each.learn(learned, NEVER)).toMatchObject({ kind: 'misconfigured', hint });
        }
        await setReadOnly(false);
        expect(await prove(trainer, other)).toEqual(['learned', 'duplicate']);
        if (server === undefined) return;
        await server.stop();
        const away = { kind: 'misconfigured', hint: expect.stringContaining('SQL') as string };
        expect(await trainer.learn(message, NEVER)).toMatchObject(away);
        await server.start();
        expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
        expect(await spamd.counts()).toMatchObject({ spam: 1, ham: 1 });
      });
    }
  },
);

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
