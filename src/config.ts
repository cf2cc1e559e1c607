import env from 'env-var';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from './errors.ts';
import { DEFAULT_STATUS_LISTEN, invalidSettings, listenAddress } from './listen-address.ts';
import type { ListenAddress } from './listen-address.ts';
import { Secret } from './secret.ts';
import { clean } from './text.ts';

/**
 * The settings, read once from the environment. Every fault of one start is collected and reported
 * together. An unset and an empty variable mean the same.
 */
export interface Config {
  readonly spool: SpoolConfig;
  readonly rspamd: RspamdConfig;
  readonly learning: LearningConfig;
  /** Where the status server listens; `undefined` when it is off. */
  readonly statusListen: ListenAddress | undefined;
  readonly log: { readonly level: number; readonly format: 'json' | 'pretty' };
  readonly shutdownMs: number;
}

export interface SpoolConfig {
  /** KOPANO_SPAMD_LIB: holds `spam/` and `ham/`. */
  readonly libDir: string;
  readonly stateDir: string;
  readonly after: 'remove' | 'archive';
  /** Days that the archive is kept; 0 keeps all. */
  readonly archiveDays: number;
  readonly maxBytes: number;
  readonly settleMs: number;
  readonly sweepMs: number;
  readonly polling: boolean;
}

export interface RspamdConfig {
  readonly controllers: readonly ControllerAddress[];
  readonly password: Secret;
  readonly timeoutMs: number;
  /** PEM text of RSPAMD_CA_FILE. */
  readonly ca: string | undefined;
}

/** One controller of RSPAMD_URL. */
export interface ControllerAddress {
  /** As the operator wrote it; names the controller in logs. */
  readonly name: string;
  /** Base URL with a trailing slash. */
  readonly url: string;
  readonly socketPath: string | undefined;
}

export interface LearningConfig {
  readonly concurrency: number;
  readonly backlog: number;
  readonly maxAttempts: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULTS = {
  KOPANO_SPAMD_LIB: '/var/lib/kopano/spamd',
  RSPAMD_URL: 'http://127.0.0.1:11334',
  RSPAMD_TIMEOUT_SECONDS: '30',
  LEARN_AFTER: 'remove',
  LEARN_ARCHIVE_DAYS: '30',
  LEARN_CONCURRENCY: '8',
  LEARN_BACKLOG: '1000',
  LEARN_MAX_BYTES: '52428800',
  LEARN_SETTLE_MS: '2000',
  LEARN_SWEEP_SECONDS: '30',
  LEARN_POLLING: 'no',
  LEARN_MAX_ATTEMPTS: '10',
  STATUS_LISTEN: DEFAULT_STATUS_LISTEN,
  SYSLOG_LEVEL: '5',
  LOG_FORMAT: 'json',
  SHUTDOWN_SECONDS: '5',
} as const;

type Defaulted = keyof typeof DEFAULTS;

/** Longest line about a fault, in characters. */
const FAULT_LENGTH = 400;

/**
 * Reads the settings.
 * @throws {OperatorError} `config.invalid`, exit 78, naming every bad variable with the form that
 *   is expected of it
 */
export function loadConfig(environment: Environment): Config {
  const settings = new SettingsReader(environment);
  const libDir = settings.read('KOPANO_SPAMD_LIB', '/', absolutePath);
  const config: Config = {
    spool: {
      libDir,
      stateDir: settings.attempt('LEARN_STATE_DIR', '/', () =>
        stateDirectory(libDir, settings.optional('LEARN_STATE_DIR')),
      ),
      after: settings.choice('LEARN_AFTER', ['remove', 'archive']),
      archiveDays: settings.whole('LEARN_ARCHIVE_DAYS', 0, 36_500),
      maxBytes: settings.whole('LEARN_MAX_BYTES', 1, 2 ** 30),
      settleMs: settings.whole('LEARN_SETTLE_MS', 1, 3_600_000),
      sweepMs: settings.seconds('LEARN_SWEEP_SECONDS', 0.1, 86_400),
      polling: settings.read('LEARN_POLLING', false, yesOrNo),
    },
    rspamd: {
      controllers: settings.read('RSPAMD_URL', [], controllerAddresses),
      password: settings.attempt('RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE', Secret.none, () =>
        secret(settings.optional('RSPAMD_PASSWORD'), settings.optional('RSPAMD_PASSWORD_FILE')),
      ),
      timeoutMs: settings.seconds('RSPAMD_TIMEOUT_SECONDS', 0.1, 3_600),
      ca: settings.attempt('RSPAMD_CA_FILE', undefined, () =>
        certificate(settings.optional('RSPAMD_CA_FILE')),
      ),
    },
    learning: {
      concurrency: settings.whole('LEARN_CONCURRENCY', 1, 1_000),
      backlog: settings.whole('LEARN_BACKLOG', 1, 1_000_000),
      maxAttempts: settings.whole('LEARN_MAX_ATTEMPTS', 1, 1_000_000),
    },
    statusListen: settings.read('STATUS_LISTEN', undefined, listenAddress),
    log: {
      level: settings.whole('SYSLOG_LEVEL', 0, 7),
      format: settings.choice('LOG_FORMAT', ['json', 'pretty']),
    },
    shutdownMs: settings.seconds('SHUTDOWN_SECONDS', 0, 3_600),
  };
  settings.throwFaults();
  return config;
}

/** An empty variable means the same as an unset one. */
function sourceOf(environment: Environment) {
  return env.from(
    Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== '')),
  );
}

/** Reads one variable after the other, and collects what is wrong with them. */
class SettingsReader {
  readonly #faults: string[] = [];
  readonly #source: ReturnType<typeof sourceOf>;

  constructor(environment: Environment) {
    this.#source = sourceOf(environment);
  }

  optional(name: string): string | undefined {
    return this.#source.get(name).asString();
  }

  /** A variable, as `parse` understands it. */
  read<T>(name: Defaulted, fallback: T, parse: (text: string) => T): T {
    return this.attempt(name, fallback, () => parse(this.#text(name)));
  }

  #text(name: Defaulted): string {
    return this.#source.get(name).default(DEFAULTS[name]).asString();
  }

  choice<T extends string>(name: Defaulted, allowed: readonly [T, ...T[]]): T {
    return this.read<T>(name, allowed[0], (text) => {
      const found = allowed.find((candidate) => candidate === text);
      if (found === undefined) throw new Error(`must be ${allowed.join(' or ')}, not '${text}'`);
      return found;
    });
  }

  whole(name: Defaulted, min: number, max: number): number {
    const variable = this.#source.get(name).default(DEFAULTS[name]);
    return this.#inRange(name, 'a whole number', min, max, () => variable.asIntPositive());
  }

  /** A number of seconds, in milliseconds. */
  seconds(name: Defaulted, min: number, max: number): number {
    const variable = this.#source.get(name).default(DEFAULTS[name]);
    return this.#inRange(name, 'a number', min, max, () => variable.asFloatPositive()) * 1000;
  }

  #inRange(name: Defaulted, what: string, min: number, max: number, read: () => number): number {
    return this.read(name, min, (text) => {
      const fault = new Error(`must be ${what} from ${min} to ${max}, not '${text}'`);
      // env-var reads 0x10 as 0, and 1e3 as 1000.
      if (!/^\d+(\.\d+)?$/.test(text)) throw fault;
      try {
        const value = read();
        if (value >= min && value <= max) return value;
      } catch (error) {
        fault.cause = error;
      }
      throw fault;
    });
  }

  /** Notes the fault that `read` throws, and goes on with `fallback`. */
  attempt<T>(name: string, fallback: T, read: () => T): T {
    try {
      return read();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#faults.push(clean(`${name} ${text}`, FAULT_LENGTH));
      return fallback;
    }
  }

  /** @throws {OperatorError} `config.invalid` with all faults, if there are any */
  throwFaults(): void {
    const count = this.#faults.length;
    if (count === 0) return;
    const lines = this.#faults.map((fault) => `  ${fault}`).join('\n');
    throw invalidSettings(
      `${count === 1 ? 'a setting is' : `${count} settings are`} wrong:\n${lines}`,
    );
  }
}

function absolutePath(value: string): string {
  if (!path.isAbsolute(value)) throw new Error(`must be an absolute path, not '${value}'`);
  return path.resolve(value);
}

function stateDirectory(libDir: string, value: string | undefined): string {
  const directory = value === undefined ? path.join(libDir, '.learnd') : absolutePath(value);
  for (const verdict of ['spam', 'ham']) {
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

function yesOrNo(value: string): boolean {
  if (['yes', 'true', 'on', '1'].includes(value.toLowerCase())) return true;
  if (['no', 'false', 'off', '0'].includes(value.toLowerCase())) return false;
  throw new Error(`must be yes or no, not '${value}'`);
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

function secret(value: string | undefined, file: string | undefined): Secret {
  if (value !== undefined && file !== undefined) {
    throw new Error('are both set; set one of them');
  }
  if (file !== undefined) {
    try {
      return Secret.ofFile(file);
    } catch (error) {
      // What is no path may be the password itself, set in the wrong place.
      const place = file.includes('/') ? file : 'the value is no path and is not shown';
      throw new Error(`(${place}) ${error instanceof Error ? error.message : 'is unusable'}`, {
        cause: error,
      });
    }
  }
  return value === undefined ? Secret.none : Secret.ofValue(value);
}

function certificate(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`(${file}) cannot be read (${errnoOf(error) ?? 'unknown error'})`, {
      cause: error,
    });
  }
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error(`(${file}) holds no certificate in PEM form`);
  }
  return pem;
}
