import { execFile } from 'node:child_process';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PrivateServer, startServer } from '../../../src/servers/private-server.ts';

/**
 * A private MariaDB on a Unix socket of its own, without network. Whoever starts it may all, without a
 * password; `bayes` may read and write in the database `bayes`. Tried on 10.11.
 */
const run = promisify(execFile);
export const USER = 'bayes';

export class PrivateMariadb extends PrivateServer {
  private constructor(folder: string) {
    super(folder);
  }

  static async start(): Promise<PrivateMariadb> {
    const mariadb = await startServer({}, async (folder) => {
      // For the user of spamd, too.
      await chmod(folder, 0o755);
      const server = new PrivateMariadb(folder);
      const words = ['--auth-root-authentication-method=normal', '--skip-test-db'];
      await run('mariadb-install-db', [...server.#words, ...words]);
      return server;
    });
    await mariadb.query(
      `CREATE DATABASE bayes; CREATE USER ${USER}@localhost; GRANT SELECT, INSERT, UPDATE, DELETE ON bayes.* TO ${USER}@localhost`,
    );
    return mariadb;
  }

  get socketPath(): string {
    return join(this.folder, 'socket');
  }

  /** What it answers, a line for a row; with the rights of whoever may all. */
  async query(statements: string): Promise<string> {
    const words = ['--no-defaults', '--user=root', `--socket=${this.socketPath}`, '--batch'];
    const args = [...words, '--skip-column-names', '--execute', statements];
    return (await run('mariadb', args)).stdout.trim();
  }

  protected serverCommand() {
    return {
      program: 'mariadbd',
      args: [...this.#words, `--socket=${this.socketPath}`, '--skip-networking'],
      outputFile: join(this.folder, 'mariadb.log'),
    };
  }

  protected async answers(): Promise<boolean> {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }

  get #words(): readonly string[] {
    const isRoot = process.geteuid?.() === 0;
    return [
      '--no-defaults',
      `--datadir=${join(this.folder, 'data')}`,
      '--innodb-flush-log-at-trx-commit=2',
      ...(isRoot ? ['--user=root'] : []),
    ];
  }
}
