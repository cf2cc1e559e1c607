import { readFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, SettingError, errnoOf } from './errors.ts';
import type { SettingFault } from './errors.ts';
import { FILTERS } from './filter.ts';
import type { Filter } from './filter.ts';
import { fuzzyFlags } from './fuzzy-flags.ts';
import { Secret } from './secret.ts';
import { Settings, bytes, choice, days, duration, severity, whole, yesOrNo } from './settings.ts';
import type { Environment } from './settings.ts';
import { spamdAddress } from './spamd-address.ts';
import type { SpamdAddress } from './spamd-address.ts';
import { withoutQuotes } from './text.ts';
import { isFieldName } from './user.ts';
import { VERDICTS, isClassName } from './verdict.ts';
import type { Verdict } from './verdict.ts';

/**
 * All settings and their defaults, read once. Every fault of one start is collected and reported
 * together.
 */
export type { Environment };
export type Config = ReturnType<typeof readConfig>['config'];
export type SpoolConfig = ReturnType<typeof spoolSettings>;
export type RspamdConfig = ReturnType<typeof rspamdSettings>;
type SpamdConfig = ReturnType<typeof spamdSettings>;

/** One controller of RSPAMD_URL. */
export interface ControllerAddress {
  /** As the operator wrote it; names the controller in logs. */
  readonly name: string;
  /** Base URL with a trailing slash. */
  readonly url: string;
  readonly socketPath: string | undefined;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the settings.
 * @throws {OperatorError} `config.invalid`, exit 78, naming every bad setting with the form that is
 *   expected of it
 */
export function loadConfig(environment: Environment): Config {
  const { config, faults } = readConfig(environment);
  throwFaults(faults);
  return config;
}

/** Reads the settings; what is wrong is told, and has its default. */
export function readConfig(environment: Environment) {
  const settings = new Settings(environment);
  const spool = spoolSettings(settings);
  const config = {
    spool,
    rspamd: rspamdSettings(settings, spool.verdicts),
    spamd: spamdSettings(settings),
    /** The filters that are taught. */
    trainers: settings.read('LEARN_TRAINERS', 'rspamd', filters),
    learning: {
      concurrency: settings.read('LEARN_CONCURRENCY', '8', whole(1, 1_000)),
      backlog: settings.read('LEARN_BACKLOG', '1000', whole(1, 1_000_000)),
      maxAttempts: settings.read('LEARN_MAX_ATTEMPTS', '10', whole(1, 1_000_000)),
      /** Header fields that say whose memory learns a message, where rspamd keeps one for each user. */
      userFields: settings.read('LEARN_USER_HEADER', '', fieldNames),
    },
    /** `undefined` when it is off. */
    statusListen: readListen(settings),
    log: {
      level: settings.read('SYSLOG_LEVEL', '5', severity),
      format: settings.read('LOG_FORMAT', 'auto', choice('auto', 'json', 'pretty')),
    },
    shutdownMs: settings.read('SHUTDOWN_SECONDS', '5', duration(1_000, 0, 3_600)),
    /** What in the environment looks like a setting and is none. */
    unknown: settings.findUnknown(),
    /** The settings file; `undefined` when there is none. */
    file: settings.file,
    /** That file's values are not known, and what it sets may have its default here. */
    isFileClosed: settings.isFileClosed,
  } as const;
  noteContradictions(settings, config);
  return { config, faults: settings.faults };
}

function spoolSettings(settings: Settings) {
  const libDir = settings.read('KOPANO_SPAMD_LIB', '/var/lib/kopano/spamd', absolutePath);
  const verdicts: readonly Verdict[] = [
    ...VERDICTS,
    ...settings.read('LEARN_CLASSES', '', furtherClasses),
  ];
  return {
    /** KOPANO_SPAMD_LIB: holds `spam/` and `ham/`, and the folders of further classes. */
    libDir,
    /** All classes: `spam`, `ham`, and those of LEARN_CLASSES. */
    verdicts,
    stateDir: settings.read('LEARN_STATE_DIR', path.join(libDir, '.learnd'), (value) =>
      stateDirectory(libDir, verdicts, value),
    ),
    after: settings.read('LEARN_AFTER', 'remove', choice('remove', 'archive')),
    /** 0 keeps all. */
    archiveDays: settings.read('LEARN_ARCHIVE_DAYS', '30', days(0, 36_500)),
    maxBytes: settings.read('LEARN_MAX_BYTES', '52428800', bytes(1, 2 ** 30)),
    settleMs: settings.read('LEARN_SETTLE_MS', '2000', duration(1, 1, 3_600_000)),
    sweepMs: settings.read('LEARN_SWEEP_SECONDS', '30', duration(1_000, 0.1, 86_400)),
    polling: settings.read('LEARN_POLLING', 'no', yesOrNo),
  } as const;
}

function rspamdSettings(settings: Settings, verdicts: readonly Verdict[]) {
  return {
    controllers: settings.read('RSPAMD_URL', 'http://127.0.0.1:11334', controllerAddresses),
    password: password(settings),
    timeoutMs: settings.read('RSPAMD_TIMEOUT_SECONDS', '30', duration(1_000, 0.1, 3_600)),
    /** PEM text. */
    ca: settings.read('RSPAMD_CA_FILE', '', certificate),
    /** The lists of rspamd's fuzzy storage; `undefined` when that is left alone. */
    fuzzy: settings.read('RSPAMD_FUZZY_FLAGS', '', fuzzyFlags(verdicts)),
  } as const;
}

function spamdSettings(settings: Settings) {
  const address = settings.read('SPAMD_URL', 'spamd://127.0.0.1:783', spamdAddress);
  return {
    address,
    /** Whose Bayes learns; `undefined`: that of the user that spamd runs as. */
    user: settings.read('SPAMD_USER', '', spamdUser(address)),
    /** Larger messages are not sent to it. */
    maxBytes: settings.read('SPAMD_MAX_BYTES', '10485760', bytes(1, 2 ** 30)),
    /** Whether what users call spam is reported to the networks that SpamAssassin is set up for. */
    report: settings.read('SPAMD_REPORT', 'no', yesOrNo),
    timeoutMs: settings.read('SPAMD_TIMEOUT_SECONDS', '30', duration(1_000, 0.1, 3_600)),
    /** PEM text. */
    ca: settings.read('SPAMD_CA_FILE', '', certificate),
  } as const;
}

/** Notes what is right by itself, and not beside the others. */
function noteContradictions(
  settings: Settings,
  config: { spool: SpoolConfig; spamd: SpamdConfig; trainers: readonly Filter[] },
): void {
  const { spool, spamd, trainers } = config;
  if (spamd.report && spamd.address.program !== undefined) {
    const says = 'needs a spamd in SPAMD_URL: sa-learn reports nothing';
    settings.note('SPAMD_REPORT', new Error(says));
  }
  if (spool.verdicts.length > VERDICTS.length && trainers.includes('spamassassin')) {
    const says =
      'needs rspamd alone in LEARN_TRAINERS: SpamAssassin knows spam and ham, and no others';
    settings.note('LEARN_CLASSES', new Error(says));
  }
}

/**
 * Reads STATUS_LISTEN alone.
 * @returns `undefined` when it is off
 * @throws {OperatorError} `config.invalid`, exit 78
 */
export function statusListen(environment: Environment): ListenAddress | undefined {
  const settings = new Settings(environment);
  const listen = readListen(settings);
  throwFaults(settings.faults);
  return listen;
}

/** How a listen address is written, for people and in URLs. */
export function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function readListen(settings: Settings): ListenAddress | undefined {
  return settings.read('STATUS_LISTEN', '127.0.0.1:11380', listenAddress);
}

function throwFaults(faults: readonly SettingFault[]): void {
  const count = faults.length;
  if (count === 0) return;
  const lines = faults.map(({ says }) => `  ${says}`).join('\n');
  const commands = faults.flatMap(({ command }) => command ?? []);
  const places = faults.map(({ where = 'the settings file' }) => where);
  throw new OperatorError({
    code: 'config.invalid',
    message: `${count === 1 ? 'a setting is' : `${count} settings are`} wrong:\n${lines}`,
    hint: `correct ${[...new Set(places)].join(' and ')}; man kopano-learnd lists every setting`,
    command: commands.length === 0 ? undefined : commands.join('\n'),
    exitCode: EXIT.configuration,
  });
}

function absolutePath(value: string): string {
  if (!path.isAbsolute(value)) throw new Error(`must be an absolute path, not '${value}'`);
  return path.resolve(value);
}

/** What stands in the state dir: a class of that name would look like one of its places. */
const PLACES = ['queue', 'archive', 'quarantine', 'release', 'posts', 'taught', 'listed', 'tmp'];

function furtherClasses(value: string): readonly Verdict[] {
  const names = value === '' ? [] : value.split(',').map((name) => name.trim());
  for (const [index, name] of names.entries()) {
    if (!isClassName(name)) {
      throw new Error(
        `must be names of rspamd's classes, separated by commas, each of up to 32 letters, digits, '-' and '_', not '${value}'`,
      );
    }
    const isBase = VERDICTS.some((each) => each === name.toLowerCase());
    if (isBase) throw new Error(`names ${name}, which is always there; name further classes only`);
    if (PLACES.includes(name.toLowerCase())) {
      throw new Error(
        `names ${name}, which is a folder of the state dir; call the class otherwise`,
      );
    }
    if (names.indexOf(name) !== index) throw new Error(`names ${name} twice`);
  }
  return names;
}

function stateDirectory(libDir: string, verdicts: readonly Verdict[], value: string): string {
  const directory = absolutePath(value);
  for (const verdict of verdicts) {
    const classFolder = path.join(libDir, verdict);
    if (directory === classFolder || directory.startsWith(`${classFolder}/`)) {
      throw new Error(
        `must not lie inside ${classFolder}, whose files are messages, but is '${directory}'`,
      );
    }
  }
  if (directory === libDir) {
    throw new Error(`must not be KOPANO_SPAMD_LIB itself; a folder inside it is fine`);
  }
  return directory;
}

const URL_FORM =
  'http://HOST:11334, https://HOST:PORT/PREFIX or unix:/path/to.sock, several separated by commas';

function controllerAddresses(value: string): ControllerAddress[] {
  const parts = value.split(',').map((part) => part.trim());
  const urls = parts.filter((part) => part !== '');
  if (urls.length === 0) throw new Error(`must name a controller: ${URL_FORM}`);
  const addresses = urls.map((url, index) =>
    controllerAddress(url, urls.length === 1 ? 'must be' : `entry ${index + 1} must be`),
  );
  const names = addresses.map((address) => address.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`names ${twice} twice`);
  return addresses;
}

/** The text itself is not repeated in a fault: it may hold a password. */
function controllerAddress(text: string, mustBe: string): ControllerAddress {
  if (text.startsWith('unix:')) {
    const socketPath = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (!path.isAbsolute(socketPath)) throw new Error(`${mustBe} ${URL_FORM}`);
    return { name: `unix:${socketPath}`, url: 'http://localhost/', socketPath };
  }
  if (!/^\w+:\/\//.test(text))
    throw new Error(`${mustBe} ${URL_FORM}; it begins with none of these`);
  const [, port = '1'] = /^https?:\/\/[^/?#@]*:(\d+)(?:$|[/?#])/.exec(text) ?? [];
  if (Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(`${mustBe} ${URL_FORM}, with a port from 1 to 65535, not ${port}`);
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new Error(`${mustBe} ${URL_FORM}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error(
      `must not hold a user or a password; set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE instead`,
    );
  }
  if (url.search !== '' || url.hash !== '') {
    throw new Error(`${mustBe} ${URL_FORM}, without '?' and '#'`);
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return { name: url.href.replace(/\/$/, ''), url: url.href, socketPath: undefined };
}

function password(settings: Settings): Secret {
  const names = ['RSPAMD_PASSWORD', 'RSPAMD_PASSWORD_FILE'] as const;
  const [value, file] = settings.eitherOf(...names);
  try {
    if (value !== '' && file !== '') throw new Error('are both set; set one of them');
    if (file !== '') return Secret.ofFile(file);
    return value === '' ? Secret.none : Secret.ofValue(value);
  } catch (error) {
    // What is no path may be the password itself, set in the wrong place.
    const place = file.includes('/') ? file : 'the value is no path and is not shown';
    const quotes = withoutQuotes(file) === file ? '' : '; leave out the quotes around it';
    const why = `${error instanceof Error ? error.message : 'is unusable'}${quotes}`;
    if (value !== '' && file !== '') settings.note(names, error);
    else if (value !== '') settings.note(names[0], error);
    else {
      const command = error instanceof SettingError ? error.command : undefined;
      settings.note(names[1], new SettingError(`(${place}) ${why}`, command));
    }
    return Secret.none;
  }
}

/** PEM text; `undefined` for no file. */
function certificate(file: string): string | undefined {
  if (file === '') return undefined;
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown error';
    throw new Error(`(${file}) cannot be read (${code})`, { cause: error });
  }
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error(`(${file}) holds no certificate in PEM form`);
  }
  return pem;
}

function filters(value: string): readonly Filter[] {
  const named = value.split(',').map((part) => part.trim());
  const known = FILTERS.filter((filter) => named.includes(filter));
  if (known.length === 0 || known.length !== named.length) {
    throw new Error(
      `must be one or more of ${FILTERS.join(', ')}, separated by commas, not '${value}'`,
    );
  }
  return known;
}

function fieldNames(value: string): readonly string[] {
  if (value === '') return [];
  const names = value.split(',').map((part) => part.trim());
  const wrong = names.find((name) => !isFieldName(name));
  if (wrong === undefined) return names;
  throw new Error(
    `must name header fields, separated by commas, such as X-Kopano-User,Delivered-To, not '${value}'`,
  );
}

/** It becomes a header line of the request. */
function spamdUser({ program }: SpamdAddress): (value: string) => string | undefined {
  return (value) => {
    if (value === '') return undefined;
    if (program !== undefined) {
      throw new Error(
        'has no meaning with exec:, which learns for the user that the daemon runs as',
      );
    }
    if (/^[\w.@+-]+$/.test(value)) return value;
    throw new Error(`must be the name of a user, such as amavis, not '${value}'`);
  };
}

/** `undefined` for `off`. */
function listenAddress(value: string): ListenAddress | undefined {
  if (value === 'off') return undefined;
  const form = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:[\]]+)):(\d{1,5})$/;
  const [, v6, host = v6, digits] = form.exec(value) ?? [];
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new Error(`must be HOST:PORT, [IPV6]:PORT or off, not '${value}'`);
  }
  if (port === 0) throw new Error(`must have a port from 1 to 65535, not '${value}'`);
  return { host, port };
}
