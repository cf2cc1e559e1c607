/**
 * A private spamd: a free loopback port (or a Unix socket), a Bayes of its own, no network. Unless the
 * rules of the package are asked for, it has none but the one that SpamAssassin insists on, which
 * makes a start four times as fast; Bayes is the same. Tried on SpamAssassin 4.0.1.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, LOOPBACK } from '../../src/servers/ports.ts';
import { PrivateServer, startServer } from '../../src/servers/private-server.ts';
import type { PrivateServerOptions } from '../../src/servers/private-server.ts';
import { processes } from '../../src/servers/server-process.ts';
import type { ServerCommand } from '../../src/servers/server-process.ts';

/** What differs between private spamds. */
export interface PrivateSpamdOptions extends PrivateServerOptions {
  /** Whether it learns by TELL at all. @defaultValue true */
  readonly allowTell?: boolean;
  /** Who may connect (`--allowed-ips`). @defaultValue loopback */
  readonly allowedIps?: string;
  /** Lines of its `local.cf`, after those that are written anyway. */
  readonly config?: readonly string[];
  /** Child processes, all of them from the start on. @defaultValue 1 */
  readonly children?: number;
  /** Further words of the command line, such as `--paranoid`. */
  readonly args?: readonly string[];
  /** Listens on {@link PrivateSpamd.socketPath} and on no port. */
  readonly unixSocket?: boolean;
  /** Speaks TLS with this key and certificate (PEM). */
  readonly tls?: { readonly key: string; readonly cert: string };
  /**
   * The user it runs as where root starts it; null: it stays root, and each TELL becomes the user of
   * its header. @defaultValue `nobody`
   */
  readonly user?: string | null;
  /** Whose folder Bayes is in, where root starts it. @defaultValue {@link user}, or root */
  readonly bayesOwner?: string;
  /** Takes the rules and plugins that the package installs, but for reporters. */
  readonly packageRules?: boolean;
  /** The plugins that report, such as `Razor2`; with one it is not kept from the network. */
  readonly reporters?: readonly string[];
}

/** What `sa-learn --dump magic` says. */
export interface SpamdCounts {
  readonly spam: number;
  readonly ham: number;
  readonly tokens: number;
}

/** The package's folders: rules, and what the site sets. */
const PACKAGE_RULES = '/usr/share/spamassassin';
const PACKAGE_SITE = '/etc/spamassassin';
/** A TLD keeps it from warning that it knows none; it refuses to start without any rule. */
export const RULES = 'util_rb_tld com net org example invalid\nbody NOTHING /^nothing at all$/\n';
/** Lines of `init.pre`; the last one is who looks after `bayes_ignore_from`. */
export const PLUGINS: readonly string[] = ['Bayes', 'Check', 'WLBLEval'].map(pluginLine);
/** A frozen or busy spamd is given up after so long. */
const ANSWER_MS = 1_000;
const run = promisify(execFile);

export class PrivateSpamd extends PrivateServer {
  readonly port: number;
  readonly #options: PrivateSpamdOptions;

  private constructor(folder: string, port: number, options: PrivateSpamdOptions) {
    super(folder);
    this.port = port;
    this.#options = options;
  }

  /** Writes a configuration and starts a server with it; resolves when it answers PING. */
  static start(options: PrivateSpamdOptions = {}): Promise<PrivateSpamd> {
    return startServer(options, async (folder) => {
      const spamd = new PrivateSpamd(folder, await freePort(), options);
      await spamd.#writeConfig();
      return spamd;
    });
  }

  /** Where it listens with `unixSocket`. */
  get socketPath(): string {
    return join(this.folder, 'run/spamd.sock');
  }

  /** The files of Bayes are this, with `_toks`, `_seen` and `_journal`; `.lock` is its lock. */
  get bayesPath(): string {
    return join(this.folder, 'bayes/bayes');
  }

  /** What it has logged since the folder was made. */
  get log(): string {
    return readFileSync(join(this.folder, 'spamd.log'), 'utf8');
  }

  /** The words that tell spamd and sa-learn alike where rules and settings are. */
  get places(): readonly string[] {
    const rules = this.#options.packageRules === true ? PACKAGE_RULES : join(this.folder, 'rules');
    return ['--configpath', rules, '--siteconfigpath', join(this.folder, 'site')];
  }

  /** The processes that answer. */
  children(): number[] {
    return processes()
      .filter(({ parent, commandLine }) => parent === this.pid && commandLine === 'spamd child')
      .map(({ pid }) => pid);
  }

  /** What Bayes has counted, by `sa-learn` as its owner; in its files zeros before the first message. */
  async counts(): Promise<SpamdCounts> {
    const isInFiles = this.#options.config?.some((line) => line.includes('_store_')) !== true;
    // sa-learn calls that an error.
    if (isInFiles && !existsSync(`${this.bayesPath}_toks`)) return { spam: 0, ham: 0, tokens: 0 };
    return countsIn(await this.saLearn('--dump', 'magic'));
  }

  /**
   * Runs `sa-learn` with this server's configuration, as the owner of Bayes.
   * @returns what it printed
   * @throws with its words when it fails
   */
  async saLearn(...args: readonly string[]): Promise<string> {
    const words = ['sa-learn', ...this.places, '-L', ...args];
    const owner = this.#bayesOwner();
    const [program = '', ...rest] =
      owner === undefined ? words : ['runuser', '-u', owner, '--', ...words];
    const env = { ...process.env, HOME: join(this.folder, 'home') };
    return (await run(program, rest, { env, cwd: this.folder })).stdout;
  }

  /** Forgets all that was learned; the server goes on. */
  async clear(): Promise<void> {
    for (const name of ['toks', 'seen', 'journal']) {
      await rm(`${this.bayesPath}_${name}`, { force: true });
    }
    await this.unlock();
  }

  /** Takes the lock away from whoever has it. */
  async unlock(): Promise<void> {
    await rm(`${this.bayesPath}.lock`, { force: true });
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd'> {
    const { program = 'spamd', allowTell = true, allowedIps, children = 1 } = this.#options;
    const { args = [], unixSocket = false, tls, reporters = [] } = this.#options;
    const user = this.#user();
    const at = (name: string): string => join(this.folder, name);
    return {
      program,
      args: [
        ...['--nouser-config', ...this.places, ...(reporters.length > 0 ? [] : ['--local'])],
        ...(allowTell ? ['--allow-tell'] : []),
        ...(allowedIps === undefined ? [] : ['--allowed-ips', allowedIps]),
        ...(unixSocket
          ? ['--socketpath', this.socketPath]
          : ['--listen', LOOPBACK, '--port', String(this.port)]),
        ...(tls === undefined
          ? []
          : ['--ssl', '--server-key', at('key'), '--server-cert', at('cert')]),
        ...['--max-children', String(children), '--min-children', String(children)],
        ...['--max-spare', String(children), '--min-spare', '1', '--syslog', 'stderr'],
        ...(user === undefined ? [] : ['--username', user, '--helper-home-dir', at('home')]),
        ...args,
      ],
      outputFile: join(this.folder, 'spamd.log'),
      environment: { PATH: process.env['PATH'] ?? '', HOME: join(this.folder, 'home'), LANG: 'C' },
    };
  }

  protected async answers(): Promise<boolean> {
    const { tls, allowedIps } = this.#options;
    const socket = connect(
      this.#options.unixSocket === true
        ? { path: this.socketPath }
        : { host: LOOPBACK, port: this.port },
    );
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('spamd is silent')));
    let received = '';
    try {
      await once(socket, 'connect');
      socket.end('PING SPAMC/1.5\r\n\r\n');
      // Whom it doesn't allow it closes upon, and speaking TLS is not this one's job.
      if (tls !== undefined || allowedIps !== undefined) return true;
      for await (const chunk of socket as AsyncIterable<Buffer>) received += chunk.toString();
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
    return received.includes('PONG');
  }

  /** Whom spamd has to become; `undefined` where nobody can become anybody else. */
  #user(): string | undefined {
    const { user = 'nobody' } = this.#options;
    return process.geteuid?.() === 0 && user !== null ? user : undefined;
  }

  #bayesOwner(): string | undefined {
    return process.geteuid?.() === 0 ? (this.#options.bayesOwner ?? this.#user()) : undefined;
  }

  async #writeConfig(): Promise<void> {
    const { config = [], reporters = [], packageRules = false, tls } = this.#options;
    const files: Readonly<Record<string, string>> = {
      'rules/rules.cf': RULES,
      'site/init.pre': [
        ...(packageRules ? packagePlugins() : PLUGINS),
        ...reporters.map(pluginLine),
        '',
      ].join('\n'),
      'site/local.cf': [`bayes_path ${this.bayesPath}`, 'bayes_auto_learn 0', ...config, ''].join(
        '\n',
      ),
      ...(tls && { key: tls.key, cert: tls.cert }),
    };
    for (const name of ['rules', 'site', 'bayes', 'home', 'run']) {
      await mkdir(join(this.folder, name));
    }
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(this.folder, name), text);
    }
    await this.#giveAway();
  }

  /** Lets the users of spamd and of Bayes in, where root has made it all. */
  async #giveAway(): Promise<void> {
    if (process.geteuid?.() !== 0) return;
    const ids = async (user: string): Promise<[number, number]> => {
      const id = async (flag: string): Promise<number> =>
        Number((await run('id', [flag, user])).stdout);
      return [await id('-u'), await id('-g')];
    };
    const spamds = await ids(this.#user() ?? 'root');
    const secrets = this.#options.tls === undefined ? [] : ['key', 'cert'];
    for (const name of ['home', 'run', ...secrets]) await chown(join(this.folder, name), ...spamds);
    await chown(join(this.folder, 'bayes'), ...(await ids(this.#bayesOwner() ?? 'root')));
    await run('chmod', ['755', this.folder]);
  }
}

/** What `sa-learn --dump magic` has printed. */
export function countsIn(dump: string): SpamdCounts {
  const count = (name: string): number =>
    Number(new RegExp(`(\\d+) +0 +non-token data: ${name}\\n`).exec(dump)?.[1] ?? 0);
  return { spam: count('nspam'), ham: count('nham'), tokens: count('ntokens') };
}

function pluginLine(name: string): string {
  return `loadplugin Mail::SpamAssassin::Plugin::${name}`;
}

/** The plugins that the package loads, without those that report to the network. */
function packagePlugins(): string[] {
  const names = ['init', 'v310', 'v312', 'v320', 'v330', 'v340', 'v341', 'v342', 'v343', 'v400'];
  const read = (name: string): string[] => {
    try {
      return readFileSync(join(PACKAGE_SITE, `${name}.pre`), 'utf8').split('\n');
    } catch {
      return [];
    }
  };
  const isWanted = (line: string): boolean =>
    /^(loadplugin|enable_compat)/.test(line) && !/Pyzor|Razor2|SpamCop/.test(line);
  return names.flatMap(read).filter(isWanted);
}
