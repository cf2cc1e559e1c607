import env from 'env-var';
import { accessSync, constants, readFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf } from './errors.ts';
import { DEFAULT_STATUS_LISTEN, listenAddress } from './listen-address.ts';
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

const PLAIN_NUMBER = /^\d+(\.\d+)?$/;
/** Longest line about a fault, in characters. */
const FAULT_LENGTH = 400;

/**
 * Reads the settings.
 * @throws {OperatorError} `config.invalid`, exit 78, naming every bad variable with the form that
 *   is expected of it
 */
export function loadConfig(environment: Environment): Config {
  const faults: string[] = [];
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const source = env.from(set);

  /** Reads one variable; a fault is noted and answered with `fallback` so that reading goes on. */
  function attempt<T>(name: string, fallback: T, read: () => T): T {
    try {
      return read();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      faults.push(clean(`${name} ${text.replace(/^env-var: "[^"]*" /, '')}`, FAULT_LENGTH));
      return fallback;
    }
  }
  const text = (name: Defaulted): string => source.get(name).default(DEFAULTS[name]).asString();
  const optional = (name: string): string | undefined => source.get(name).asString();

  function number(name: Defaulted, range: NumberRange): number {
    return attempt(name, range.min, () => {
      const variable = source.get(name).default(DEFAULTS[name]);
      const form = `must be ${range.whole ? 'a whole number' : 'a number'} from ${range.min} to ${range.max}, not '${text(name)}'`;
      let value: number;
      try {
        value = range.whole ? variable.asInt() : variable.asFloat();
      } catch (error) {
        throw new Error(form, { cause: error });
      }
      // parseFloat reads 0x10 as 0.
      if (!PLAIN_NUMBER.test(text(name)) || value < range.min || value > range.max) {
        throw new Error(form);
      }
      return value;
    });
  }
  function choice<T extends string>(name: Defaulted, allowed: readonly [T, ...T[]]): T {
    return attempt(name, allowed[0], () => {
      const found = allowed.find((candidate) => candidate === text(name));
      if (found === undefined) {
        throw new Error(`must be ${allowed.join(' or ')}, not '${text(name)}'`);
      }
      return found;
    });
  }
  const seconds = (name: Defaulted, min: number, max: number): number =>
    number(name, { min, max, whole: false }) * 1000;

  const libDir = attempt('KOPANO_SPAMD_LIB', '/', () => absolutePath(text('KOPANO_SPAMD_LIB')));
  const config: Config = {
    spool: {
      libDir,
      stateDir: attempt('LEARN_STATE_DIR', '/', () =>
        stateDirectory(libDir, optional('LEARN_STATE_DIR')),
      ),
      after: choice('LEARN_AFTER', ['remove', 'archive']),
      archiveDays: number('LEARN_ARCHIVE_DAYS', { min: 0, max: 36_500, whole: true }),
      maxBytes: number('LEARN_MAX_BYTES', { min: 1, max: 2 ** 30, whole: true }),
      settleMs: number('LEARN_SETTLE_MS', { min: 1, max: 3_600_000, whole: true }),
      sweepMs: seconds('LEARN_SWEEP_SECONDS', 0.1, 86_400),
      polling: attempt('LEARN_POLLING', false, () => yesOrNo(text('LEARN_POLLING'))),
    },
    rspamd: {
      controllers: attempt('RSPAMD_URL', [], () => controllerAddresses(text('RSPAMD_URL'))),
      password: attempt('RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE', Secret.none, () =>
        secret(optional('RSPAMD_PASSWORD'), optional('RSPAMD_PASSWORD_FILE')),
      ),
      timeoutMs: seconds('RSPAMD_TIMEOUT_SECONDS', 0.1, 3_600),
      ca: attempt('RSPAMD_CA_FILE', undefined, () => certificate(optional('RSPAMD_CA_FILE'))),
    },
    learning: {
      concurrency: number('LEARN_CONCURRENCY', { min: 1, max: 1_000, whole: true }),
      backlog: number('LEARN_BACKLOG', { min: 1, max: 1_000_000, whole: true }),
      maxAttempts: number('LEARN_MAX_ATTEMPTS', { min: 1, max: 1_000_000, whole: true }),
    },
    statusListen: attempt('STATUS_LISTEN', undefined, () => listenAddress(text('STATUS_LISTEN'))),
    log: {
      level: number('SYSLOG_LEVEL', { min: 0, max: 7, whole: true }),
      format: choice('LOG_FORMAT', ['json', 'pretty']),
    },
    shutdownMs: seconds('SHUTDOWN_SECONDS', 0, 3_600),
  };
  if (faults.length > 0) {
    throw new OperatorError({
      code: 'config.invalid',
      message: `${faults.length === 1 ? 'a setting is' : `${faults.length} settings are`} wrong:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
      hint: 'correct the environment of kopano-learnd; docs/configuration.md lists every variable',
      exitCode: EXIT.configuration,
    });
  }
  return config;
}

interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly whole: boolean;
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

function controllerAddresses(value: string): ControllerAddress[] {
  const form =
    'http://HOST:11334, https://HOST:PORT/PREFIX or unix:/path/to.sock, several separated by commas';
  const parts = value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) throw new Error(`must name a controller: ${form}`);
  const addresses = parts.map((part, index): ControllerAddress => {
    // The text itself is not repeated in a fault: it may hold a password.
    const which = parts.length === 1 ? 'must be' : `entry ${index + 1} must be`;
    if (part.startsWith('unix:')) {
      const socketPath = part.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
      if (!path.isAbsolute(socketPath)) throw new Error(`${which} ${form}`);
      return { name: `unix:${socketPath}`, url: 'http://localhost/', socketPath };
    }
    const url = URL.canParse(part) ? new URL(part) : undefined;
    if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
      throw new Error(`${which} ${form}`);
    }
    if (url.username !== '' || url.password !== '') {
      throw new Error(
        `must not hold a user or a password; set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE instead`,
      );
    }
    if (url.search !== '' || url.hash !== '') {
      throw new Error(`${which} ${form}, without '?' and '#'`);
    }
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return { name: url.href.replace(/\/$/, ''), url: url.href, socketPath: undefined };
  });
  const names = addresses.map((address) => address.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`names ${twice} twice`);
  return addresses;
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
    accessSync(file, constants.R_OK);
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
