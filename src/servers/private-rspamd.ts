/**
 * A private rspamd: free loopback ports, no network, no terminal. What Bayes learns is in the Redis
 * that it is given, never in the folder. Its configuration is the package's own, with a local folder
 * that keeps it small, quick to start and off the network. Tried on rspamd 3.4 and 3.12.1.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { freePorts, LOOPBACK } from './ports.ts';
import { PrivateServer, startServer } from './private-server.ts';
import type { PrivateServerOptions } from './private-server.ts';
import { processes } from './server-process.ts';
import type { ServerCommand } from './server-process.ts';

/** A silent rspamd (frozen, busy) is given up after this long. */
const ANSWER_MS = 30_000;

/** What differs between private rspamds. */
export interface PrivateRspamdOptions extends PrivateServerOptions {
  /** The loopback port of the Redis that Bayes learns into; null: no Bayes backend at all. */
  readonly redisPort: number | null;
  /** That Redis' password. */
  readonly redisPassword?: string;
  /** Loopback ports of the sentinels that tell which Redis is the master. */
  readonly sentinelPorts?: readonly number[];
  /** Worker processes of the controller. @defaultValue 1 */
  readonly controllerWorkers?: number;
  /** The controller's password. @defaultValue none is set */
  readonly password?: string;
  /** The password for learning. @defaultValue none: {@link password} is enough */
  readonly enablePassword?: string;
  /**
   * Addresses and networks that need no password. `[]` makes loopback need one as well (a Unix
   * socket never does). @defaultValue loopback
   */
  readonly secureIp?: readonly string[];
  /** Whether the controller listens on `socketPath` too. */
  readonly unixSocket?: boolean;
  /** Whether Bayes keeps a memory for each recipient. */
  readonly perUser?: boolean;
  /** Whether variables in Redis' keys are expanded (`expand_keys`). */
  readonly expandKeys?: boolean;
  /** Settings of Bayes, in the words of rspamd. @defaultValue the package's own */
  readonly bayes?: BayesSettings;
  /** Whether it says in {@link PrivateRspamd.opinionFile} what Bayes thinks of what it learns. */
  readonly tellsOpinions?: boolean;
  /** Errors alone are logged: of each message a line is much where there are many. */
  readonly isTerse?: boolean;
  /** Whether the history of the web interface lies in Redis. */
  readonly redisHistory?: boolean;
  /** Classes of Bayes beside spam and ham (rspamd 4.1). */
  readonly classes?: readonly string[];
  /** The flags that its own fuzzy storage knows, in the same Redis. @defaultValue it has no storage */
  readonly fuzzyFlags?: readonly number[];
}

/** What a site may have set for Bayes and what matters to its opinions. */
export interface BayesSettings {
  readonly tokenizer?: string;
  readonly min_tokens?: number;
  readonly max_tokens?: number;
  readonly min_learns?: number;
}

/** What Bayes says of a message: a verdict with its probability, or nothing. */
export interface BayesOpinion {
  readonly verdict: 'spam' | 'ham' | 'none';
  /** How sure Bayes is, in percent as rspamd prints it; 0 without a verdict. */
  readonly percent: number;
}

export class PrivateRspamd extends PrivateServer {
  readonly controllerPort: number;
  /** The scan worker's port: answers learn requests with 500 `invalid command`. */
  readonly scannerPort: number;
  /** The fuzzy storage's port, by UDP. */
  readonly fuzzyPort: number;
  readonly #options: PrivateRspamdOptions;

  private constructor(folder: string, ports: readonly number[], options: PrivateRspamdOptions) {
    super(folder, options.runAs);
    [this.controllerPort = 0, this.scannerPort = 0, this.fuzzyPort = 0] = ports;
    this.#options = options;
  }

  /** Writes a configuration and starts a server with it; resolves when both workers answer. */
  static start(options: PrivateRspamdOptions): Promise<PrivateRspamd> {
    return startServer(options, async (folder) => {
      const rspamd = new PrivateRspamd(folder, await freePorts(3), options);
      await writeConfig(rspamd, options);
      return rspamd;
    });
  }

  /** The controller's URL, without a path. */
  get url(): string {
    return `http://${LOOPBACK}:${this.controllerPort}`;
  }

  /** The controller's Unix socket; only there with the option `unixSocket`. */
  get socketPath(): string {
    return join(this.folder, 'run/controller.sock');
  }

  /**
   * Says of the message that was learned last how likely Bayes thought it spam just before; empty of one
   * with too few words, or while it has learned too little. Only there with the option `tellsOpinions`.
   */
  get opinionFile(): string {
    return join(this.folder, 'opinion');
  }

  /** The processes below the main one; `kind` is `controller`, `normal`, `hs_helper`, ... */
  workers(): { readonly pid: number; readonly kind: string }[] {
    const children = processes().filter(({ parent }) => parent === this.pid);
    return children.flatMap(({ pid, commandLine }) => {
      const kind = /^rspamd: (\w+) process/.exec(commandLine)?.[1];
      return kind === undefined ? [] : [{ pid, kind }];
    });
  }

  /** SIGKILL to the controller's workers only; the main process forks new ones. */
  killWorker(): void {
    for (const { pid, kind } of this.workers()) {
      if (kind === 'controller') process.kill(pid, 'SIGKILL');
    }
  }

  /**
   * Posts a message to a path of the controller, such as `/learnspam`. Every status is an answer:
   * status, reason phrase and body as they came.
   * @throws when the connection fails, or after a silence
   */
  async post(path: string, body: Buffer, headers: Readonly<Record<string, string>> = {}) {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const request = { method: 'POST', body: new Uint8Array(body), headers, signal };
    const response = await fetch(`${this.url}${path}`, request);
    const { status, statusText: reason } = response;
    // rspamd sends a body with 204, an error to Node's parser: status and reason are all there is.
    return { status, reason, body: status === 204 ? '' : await response.text() };
  }

  /** What Bayes thinks of a message now; learns nothing. */
  async bayesOpinion(message: Buffer): Promise<BayesOpinion> {
    const { status, body } = await this.post('/checkv2', message);
    if (status !== 200) throw new Error(`/checkv2 answered ${status}: ${body}`);
    const { symbols = {} } = JSON.parse(body) as {
      symbols?: Record<string, { options?: readonly string[] } | undefined>;
    };
    for (const verdict of ['spam', 'ham'] as const) {
      const symbol = symbols[`BAYES_${verdict.toUpperCase()}`];
      if (symbol === undefined) continue;
      return { verdict, percent: Number.parseFloat(symbol.options?.[0] ?? '0') };
    }
    return { verdict: 'none', percent: 0 };
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd' | 'user'> {
    const folders = { LOCAL_CONFDIR: 'config', DBDIR: 'database', RUNDIR: 'run', LOGDIR: 'log' };
    return {
      program: this.#options.program ?? 'rspamd',
      args: [
        // as root rspamd wants another user for its workers; this one has only its own folder to touch
        ...['--no-fork', '--insecure'],
        ...Object.entries(folders).map(([name, to]) => `--var=${name}=${join(this.folder, to)}`),
      ],
      outputFile: join(this.folder, 'log/rspamd.log'),
    };
  }

  protected async answers(): Promise<boolean> {
    const pings = [this.controllerPort, this.scannerPort].map((port) => isAnswered(port));
    return (await Promise.all(pings)).every(Boolean);
  }
}

/** Not by fetch, which costs who starts a server 150 ms of CPU time and 20 MB (Node.js 20). */
function isAnswered(port: number): Promise<boolean> {
  const signal = AbortSignal.timeout(1_000);
  return new Promise((resolve) => {
    const request = get(`http://${LOOPBACK}:${port}/ping`, { signal }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
  });
}

/** Modules that ask the network or keep things in Redis beside Bayes: neither is wanted here. */
const MODULES_OFF = [
  'arc asn bimi dkim dkim_signing dmarc fuzzy_check greylist hfilter maillist mid multimap',
  'mx_check neural phishing ratelimit rbl replies reputation rspamd_update spf surbl',
  'url_redirector whitelist',
].flatMap((line) => line.split(' '));

/**
 * The package's list of 9,000 top-level domains is compiled at every first start, which takes
 * rspamd 3.4 nine of its ten seconds; these few find the URLs of any test message.
 */
const TOP_LEVEL_DOMAINS = [
  'com net org edu gov mil int info biz name test example at be ca ch cn de dk es eu fi fr ie in',
  'io it jp kr me nl no nu nz pl pt ru se to tv us uk co.uk org.uk ac.uk au com.au br com.br tw',
  'com.tw cc ws',
].flatMap((line) => line.split(' '));

/** Makes the folders `config`, `database`, `run` and `log`, and writes the first one. */
async function writeConfig(rspamd: PrivateRspamd, options: PrivateRspamdOptions): Promise<void> {
  const { folder, scannerPort } = rspamd;
  const { redisPort, redisPassword, expandKeys = false, redisHistory = false } = options;
  const { sentinelPorts = [] } = options;
  const sentinels = sentinelPorts.map((port) => `${LOOPBACK}:${port}`).join(',');
  const config = join(folder, 'config');
  // An empty folder: reading the package's 46 languages takes seven eighths of a start's CPU time.
  const languages = join(config, 'languages');
  const files: Readonly<Record<string, string>> = {
    'top-level-domains': `${TOP_LEVEL_DOMAINS.join('\n')}\n`,
    'rspamd.conf.local': [
      `lang_detection { languages = ${quoted(languages)}; }`,
      // Where it can't write, the process that compiles for Hyperscan does nothing; as it can't be
      // switched off, it would take two thirds of the CPU time of a start that lasts for seconds.
      `worker "hs_helper" { cache_dir = ${quoted(join(config, 'nowhere'))}; }`,
      '',
    ].join('\n'),
    'override.d/options.inc': optionLines(folder),
    'override.d/worker-controller.inc': controllerLines(rspamd, options),
    'override.d/worker-normal.inc': `bind_socket = "${LOOPBACK}:${scannerPort}";\ncount = 1;\n`,
    'override.d/worker-proxy.inc': 'enabled = false;\ncount = -1;\n',
    'override.d/classifier-bayes.conf': bayesLines(rspamd, options),
    ...(options.isTerse === true && { 'override.d/logging.inc': 'level = "error";\n' }),
    // Bayes falls back to this module's server; without one it has no backend
    ...(redisPort !== null && {
      'override.d/redis.conf': [
        `servers = "${LOOPBACK}:${redisPort}";`,
        ...(redisPassword === undefined ? [] : [`password = ${quoted(redisPassword)};`]),
        `expand_keys = ${expandKeys};`,
        ...(sentinelPorts.length === 0 ? [] : [`sentinels = ${quoted(sentinels)};`]),
        '',
      ].join('\n'),
    }),
    ...Object.fromEntries(
      [...MODULES_OFF, ...(redisHistory ? [] : ['history_redis'])].map((name) => [
        `override.d/${name}.conf`,
        'enabled = false;\n',
      ]),
    ),
    ...fuzzyFiles(rspamd, options),
  };
  for (const name of ['config/languages', 'config/override.d', 'database', 'run', 'log']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(config, name), content);
  }
  if (options.tellsOpinions === true) await writeFile(rspamd.opinionFile, '');
}

/** All classes of Bayes, where there are further ones: a list takes the place of the package's. */
function classLines({ classes = [] }: PrivateRspamdOptions): string {
  if (classes.length === 0) return '';
  const lines = ['spam', 'ham', ...classes].map(
    (name) => `statfile { symbol = "BAYES_${name.toUpperCase()}"; class = ${quoted(name)}; }`,
  );
  return `${lines.join('\n')}\n`;
}

/** A fuzzy storage of its own, and the module that asks it; or neither. */
function fuzzyFiles(
  { fuzzyPort }: PrivateRspamd,
  { redisPort, fuzzyFlags = [] }: PrivateRspamdOptions,
): Readonly<Record<string, string>> {
  if (fuzzyFlags.length === 0) {
    return { 'override.d/worker-fuzzy.inc': 'enabled = false;\ncount = -1;\n' };
  }
  const address = `${LOOPBACK}:${fuzzyPort}`;
  const map = fuzzyFlags.map((flag) => `FUZZY_${flag} { max_score = 10; flag = ${flag}; }`);
  return {
    'override.d/worker-fuzzy.inc': [
      `bind_socket = ${quoted(address)};`,
      'count = 1;',
      'backend = "redis";',
      `servers = "${LOOPBACK}:${redisPort ?? 0}";`,
      // it keeps what it is told in memory before it writes it
      'sync = 1s;',
      `allow_update = [${quoted(LOOPBACK)}];`,
      '',
    ].join('\n'),
    'override.d/fuzzy_check.conf': [
      'enabled = true;',
      'timeout = 0.5s;',
      'rule "local" {',
      `  servers = ${quoted(address)}; symbol = "FUZZY_UNKNOWN"; algorithm = "mumhash";`,
      '  mime_types = ["*"]; max_score = 20; read_only = no; skip_unknown = yes;',
      `  fuzzy_map = { ${map.join(' ')} }`,
      '}',
      '',
    ].join('\n'),
  };
}

function bayesLines({ opinionFile }: PrivateRspamd, options: PrivateRspamdOptions): string {
  const { perUser = false, bayes = {}, tellsOpinions = false } = options;
  const { tokenizer, ...numbers } = bayes;
  return [
    'autolearn = false;',
    `per_user = ${perUser};`,
    ...(tokenizer === undefined ? [] : [`tokenizer { name = ${quoted(tokenizer)}; }`]),
    ...Object.entries(numbers).map(([name, value]) => `${name} = ${value};`),
    classLines(options),
    ...(tellsOpinions ? [opinionCondition(opinionFile)] : []),
  ].join('\n');
}

/**
 * rspamd judges each message before it learns it, and then asks this function whether it may: the place
 * where its own one (`lua_bayes_learn`) reads that opinion, to refuse what Bayes is sure of.
 */
function opinionCondition(file: string): string {
  return `learn_condition = <<EOD
local file = io.open(${quoted(file)}, 'r+')
return function(task)
  local probability = task:get_mempool():get_variable('bayes_prob', 'double')
  file:seek('set')
  file:write(string.format('%-24s', probability and string.format('%.12f', probability) or ''))
  file:flush()
  return true
end
EOD
`;
}

function optionLines(folder: string): string {
  return [
    'disable_hyperscan = true;',
    `tempdir = ${quoted(join(folder, 'run'))};`,
    `url_tld = ${quoted(join(folder, 'config/top-level-domains'))};`,
    // the discard port: every look-up fails at once instead of leaving the machine
    'dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }',
    '',
  ].join('\n');
}

function controllerLines(
  { controllerPort, socketPath }: PrivateRspamd,
  options: PrivateRspamdOptions,
): string {
  const { password, enablePassword, controllerWorkers = 1, unixSocket = false } = options;
  const { secureIp = [LOOPBACK, '::1'] } = options;
  return [
    `bind_socket = "${LOOPBACK}:${controllerPort}";`,
    ...(unixSocket ? [`bind_socket = ${quoted(`${socketPath} mode=0666`)};`] : []),
    `count = ${controllerWorkers};`,
    // an empty list trusts nobody; rspamd 3.4 then asks loopback for the password as well
    `secure_ip = [${secureIp.map(quoted).join(', ')}];`,
    ...(password === undefined ? [] : [`password = ${quoted(password)};`]),
    ...(enablePassword === undefined ? [] : [`enable_password = ${quoted(enablePassword)};`]),
    '',
  ].join('\n');
}

/** A string of rspamd's configuration language, which reads JSON strings. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
