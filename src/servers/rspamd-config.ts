/**
 * The configuration of a private rspamd: the package's own, with a local folder that keeps it small,
 * quick to start and off the network. Tried on rspamd 3.4 and 3.12.1.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LOOPBACK } from './ports.ts';

/** What differs between private rspamds. */
export interface RspamdSettings {
  /** The loopback port of the Redis that Bayes learns into; null: no Bayes backend at all. */
  readonly redisPort: number | null;
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
  /** Whether the controller listens on {@link RspamdPlaces.socketPath} too. */
  readonly unixSocket?: boolean;
  /** Whether Bayes keeps a memory for each recipient. */
  readonly perUser?: boolean;
  /** Whether variables in Redis' keys are expanded (`expand_keys`). */
  readonly expandKeys?: boolean;
  /** Whether the history of the web interface lies in Redis. */
  readonly redisHistory?: boolean;
}

/** Where a private rspamd lives and listens. */
export interface RspamdPlaces {
  readonly folder: string;
  readonly controllerPort: number;
  readonly scannerPort: number;
  readonly socketPath: string;
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
export async function writeRspamdConfig(
  places: RspamdPlaces,
  settings: RspamdSettings,
): Promise<void> {
  const { folder, scannerPort } = places;
  const { redisPort, expandKeys = false, perUser = false, redisHistory = false } = settings;
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
    'override.d/worker-controller.inc': controllerLines(places, settings),
    'override.d/worker-normal.inc': `bind_socket = "${LOOPBACK}:${scannerPort}";\ncount = 1;\n`,
    'override.d/worker-proxy.inc': 'enabled = false;\ncount = -1;\n',
    'override.d/worker-fuzzy.inc': 'enabled = false;\ncount = -1;\n',
    'override.d/classifier-bayes.conf': `autolearn = false;\nper_user = ${perUser};\n`,
    // Bayes falls back to this module's server; without one it has no backend
    ...(redisPort !== null && {
      'override.d/redis.conf': `servers = "${LOOPBACK}:${redisPort}";\nexpand_keys = ${expandKeys};\n`,
    }),
    ...Object.fromEntries(
      [...MODULES_OFF, ...(redisHistory ? [] : ['history_redis'])].map((name) => [
        `override.d/${name}.conf`,
        'enabled = false;\n',
      ]),
    ),
  };
  for (const name of ['config/languages', 'config/override.d', 'database', 'run', 'log']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(config, name), content);
  }
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
  { controllerPort, socketPath }: RspamdPlaces,
  settings: RspamdSettings,
): string {
  const { password, enablePassword, controllerWorkers = 1, unixSocket = false } = settings;
  const { secureIp = [LOOPBACK, '::1'] } = settings;
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
