/**
 * The configuration of a private rspamd: the package's own, with a local folder that keeps it small,
 * quick to start and off the network.
 *
 * Only writes files; what they say was tried on rspamd 3.4 and 3.12.1.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What differs between private rspamds. */
export interface RspamdSettings {
  readonly controllerBinds: readonly string[];
  readonly scannerBind: string;
  readonly controllerWorkers: number;
  readonly secureIp: readonly string[];
  readonly password: string | undefined;
  readonly enablePassword: string | undefined;
  /** Where Bayes keeps what it learns; null: no backend. */
  readonly redis: string | null;
  readonly minLearns: number;
  /** Bayes keeps a memory of its own for each recipient. */
  readonly perUser: boolean;
  /** Variables in Redis' keys are expanded (`expand_keys`). */
  readonly expandKeys: boolean;
  /** Keeps the history of the web interface in Redis, as rspamd does unless told otherwise. */
  readonly redisHistory: boolean;
}

/** The folders that rspamd gets as variables. */
export interface RspamdFolders {
  readonly config: string;
  readonly database: string;
  readonly run: string;
  readonly log: string;
}

/** Modules that ask the network or keep things in Redis beside Bayes: neither is wanted here. */
const MODULES_OFF = [
  ...['arc', 'asn', 'bimi', 'dkim', 'dkim_signing', 'dmarc', 'fuzzy_check', 'greylist'],
  ...['hfilter', 'history_redis', 'maillist', 'mid', 'multimap', 'mx_check', 'neural', 'phishing'],
  ...['ratelimit', 'rbl', 'replies', 'reputation', 'rspamd_update', 'spf', 'surbl'],
  ...['url_redirector', 'whitelist'],
];

/**
 * The package's list of 9,000 top-level domains is compiled at every first start, which takes
 * rspamd 3.4 nine of its ten seconds; these few find the URLs of any test message.
 */
const TOP_LEVEL_DOMAINS = [
  ...['com', 'net', 'org', 'edu', 'gov', 'mil', 'int', 'info', 'biz', 'name', 'test', 'example'],
  ...['at', 'be', 'ca', 'ch', 'cn', 'de', 'dk', 'es', 'eu', 'fi', 'fr', 'ie', 'in', 'io', 'it'],
  ...['jp', 'kr', 'me', 'nl', 'no', 'nu', 'nz', 'pl', 'pt', 'ru', 'se', 'to', 'tv', 'us'],
  ...['uk', 'co.uk', 'org.uk', 'ac.uk', 'au', 'com.au', 'br', 'com.br', 'tw', 'com.tw', 'cc', 'ws'],
];

/** Writes the local configuration folder; makes the other folders. */
export async function writeRspamdConfig(
  folders: RspamdFolders,
  settings: RspamdSettings,
): Promise<void> {
  // An empty folder: reading the package's 46 languages takes seven eighths of a start's CPU time.
  const languages = join(folders.config, 'languages');
  const files = new Map([
    ['top-level-domains', `${TOP_LEVEL_DOMAINS.join('\n')}\n`],
    ['rspamd.conf.local', `lang_detection { languages = ${quoted(languages)}; }\n`],
    ['override.d/options.inc', optionLines(folders)],
    ['override.d/worker-controller.inc', controllerLines(settings)],
    [
      'override.d/worker-normal.inc',
      `bind_socket = ${quoted(settings.scannerBind)};\ncount = 1;\n`,
    ],
    ['override.d/worker-proxy.inc', 'enabled = false;\ncount = -1;\n'],
    ['override.d/worker-fuzzy.inc', 'enabled = false;\ncount = -1;\n'],
    ['override.d/classifier-bayes.conf', bayesLines(settings)],
    ...MODULES_OFF.filter((name) => name !== 'history_redis' || !settings.redisHistory).map(
      (name) => [`override.d/${name}.conf`, 'enabled = false;\n'] as const,
    ),
  ]);
  // Bayes falls back to this module's server; without one it has no backend
  if (settings.redis !== null) {
    const { redis, expandKeys } = settings;
    files.set(
      'override.d/redis.conf',
      `servers = ${quoted(redis)};\nexpand_keys = ${expandKeys};\n`,
    );
  }
  await Promise.all(Object.values(folders).map((folder: string) => mkdir(folder)));
  await mkdir(languages);
  for (const [name, content] of files) {
    const path = join(folders.config, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

function optionLines(folders: RspamdFolders): string {
  return [
    'disable_hyperscan = true;',
    `tempdir = ${quoted(folders.run)};`,
    `url_tld = ${quoted(join(folders.config, 'top-level-domains'))};`,
    // the discard port: every look-up fails at once instead of leaving the machine
    'dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }',
    '',
  ].join('\n');
}

function controllerLines(settings: RspamdSettings): string {
  const { password, enablePassword } = settings;
  return [
    ...settings.controllerBinds.map((bind) => `bind_socket = ${quoted(bind)};`),
    `count = ${settings.controllerWorkers};`,
    // an empty list trusts nobody; rspamd 3.4 then asks loopback for the password as well
    `secure_ip = [${settings.secureIp.map((net) => quoted(net)).join(', ')}];`,
    ...(password === undefined ? [] : [`password = ${quoted(password)};`]),
    ...(enablePassword === undefined ? [] : [`enable_password = ${quoted(enablePassword)};`]),
    '',
  ].join('\n');
}

function bayesLines(settings: RspamdSettings): string {
  const { minLearns, perUser } = settings;
  return `autolearn = false;\nmin_learns = ${minLearns};\nper_user = ${perUser};\n`;
}

/** A string of rspamd's configuration language, which reads JSON strings. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
