import env from 'env-var';
import type { IPresentVariable } from 'env-var';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT, OperatorError, errnoOf } from './errors.ts';
import { Secret } from './secret.ts';
import { clean } from './text.ts';

/**
 * The settings, read once from the environment. Every fault of one start is collected and reported
 * together. An unset and an empty variable mean the same.
 */
export type Config = ReturnType<typeof loadConfig>;
export type SpoolConfig = Config['spool'];
export type RspamdConfig = Config['rspamd'];

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

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings.
 * @throws {OperatorError} `config.invalid`, exit 78, naming every bad variable with the form that
 *   is expected of it
 */
export function loadConfig(environment: Environment) {
  const settings = new SettingsReader(environment);
  const libDir = settings.read('KOPANO_SPAMD_LIB', '/var/lib/kopano/spamd', absolutePath);
  const config = {
    spool: {
      /** KOPANO_SPAMD_LIB: holds `spam/` and `ham/`. */
      libDir,
      stateDir: settings.read('LEARN_STATE_DIR', path.join(libDir, '.learnd'), (value) =>
        stateDirectory(libDir, value),
      ),
      after: settings.read('LEARN_AFTER', 'remove', choice('remove', 'archive')),
      /** 0 keeps all. */
      archiveDays: settings.read('LEARN_ARCHIVE_DAYS', '30', whole(0, 36_500)),
      maxBytes: settings.read('LEARN_MAX_BYTES', '52428800', whole(1, 2 ** 30)),
      settleMs: settings.read('LEARN_SETTLE_MS', '2000', whole(1, 3_600_000)),
      sweepMs: settings.read('LEARN_SWEEP_SECONDS', '30', seconds(0.1, 86_400)),
      polling: settings.read('LEARN_POLLING', 'no', yesOrNo),
    },
    rspamd: {
      controllers: settings.read('RSPAMD_URL', 'http://127.0.0.1:11334', controllerAddresses),
      password: settings.password('RSPAMD_PASSWORD', 'RSPAMD_PASSWORD_FILE'),
      timeoutMs: settings.read('RSPAMD_TIMEOUT_SECONDS', '30', seconds(0.1, 3_600)),
      /** PEM text. */
      ca: settings.read('RSPAMD_CA_FILE', '', certificate),
    },
    learning: {
      concurrency: settings.read('LEARN_CONCURRENCY', '8', whole(1, 1_000)),
      backlog: settings.read('LEARN_BACKLOG', '1000', whole(1, 1_000_000)),
      maxAttempts: settings.read('LEARN_MAX_ATTEMPTS', '10', whole(1, 1_000_000)),
    },
    /** `undefined` when it is off. */
    statusListen: settings.statusListen(),
    log: {
      level: settings.read('SYSLOG_LEVEL', '5', whole(0, 7)),
      format: settings.read('LOG_FORMAT', 'json', choice('json', 'pretty')),
    },
    shutdownMs: settings.read('SHUTDOWN_SECONDS', '5', seconds(0, 3_600)),
  } as const;
  settings.throwFaults();
  return config;
}

/**
 * Reads STATUS_LISTEN alone.
 * @returns `undefined` when it is off
 * @throws {OperatorError} `config.invalid`, exit 78
 */
export function statusListen(environment: Environment): ListenAddress | undefined {
  const settings = new SettingsReader(environment);
  const listen = settings.statusListen();
  settings.throwFaults();
  return listen;
}

/** How a listen address is written, for people and in URLs. */
export function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Throws an error that says which form the text, which is that of the variable, must have. */
type Parse<T> = (text: string, variable: IPresentVariable) => T;

/** An empty variable means the same as an unset one. */
function sourceOf(environment: Environment) {
  return env.from(
    Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== '')),
  );
}

/** Reads one variable after the other, and collects what is wrong with them. */
class SettingsReader {
  readonly #environment: ReturnType<typeof sourceOf>;
  readonly #faults: string[] = [];

  constructor(environment: Environment) {
    this.#environment = sourceOf(environment);
  }

  /** A variable as `parse` understands it; where it doesn't, notes that, and goes on with the default. */
  read<T>(name: string, preset: string, parse: Parse<T>): T {
    const variable = this.#environment.get(name).default(preset);
    try {
      return parse(variable.asString(), variable);
    } catch (error) {
      this.#note(name, error);
      const usual = sourceOf({ [name]: preset })
        .get(name)
        .required();
      return parse(preset, usual);
    }
  }

  statusListen(): ListenAddress | undefined {
    return this.read('STATUS_LISTEN', '127.0.0.1:11380', listenAddress);
  }

  password(name: string, fileName: string): Secret {
    try {
      const [value, file] = [name, fileName].map((each) =>
        this.#environment.get(each).default('').asString(),
      );
      return secret(value ?? '', file ?? '');
    } catch (error) {
      this.#note(`${name} or ${fileName}`, error);
      return Secret.none;
    }
  }

  #note(name: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#faults.push(clean(`${name} ${text}`, 400));
  }

  /** @throws {OperatorError} `config.invalid` with all faults, if there are any */
  throwFaults(): void {
    const count = this.#faults.length;
    if (count === 0) return;
    const lines = this.#faults.map((fault) => `  ${fault}`).join('\n');
    throw new OperatorError({
      code: 'config.invalid',
      message: `${count === 1 ? 'a setting is' : `${count} settings are`} wrong:\n${lines}`,
      hint: 'correct the environment of kopano-learnd; docs/configuration.md lists every variable',
      exitCode: EXIT.configuration,
    });
  }
}

function choice<const T extends string>(...allowed: readonly T[]): Parse<T> {
  return (text) => {
    const found = allowed.find((each) => each === text);
    if (found === undefined) throw new Error(`must be ${allowed.join(' or ')}, not '${text}'`);
    return found;
  };
}

function whole(min: number, max: number): Parse<number> {
  return (text, variable) => {
    // env-var also reads 0x10, as 0.
    const value = /^\d+$/.test(text) ? numberOf(() => variable.asIntPositive()) : NaN;
    if (value >= min && value <= max) return value;
    throw new Error(`must be a whole number from ${min} to ${max}, not '${text}'`);
  };
}

/** A number of seconds, in milliseconds. */
function seconds(min: number, max: number): Parse<number> {
  return (text, variable) => {
    // env-var also reads 1e3, as 1000.
    const value = /^\d+(\.\d+)?$/.test(text) ? numberOf(() => variable.asFloatPositive()) : NaN;
    if (value >= min && value <= max) return value * 1_000;
    throw new Error(`must be a number from ${min} to ${max}, not '${text}'`);
  };
}

/** Not a number where env-var throws, whose words name no limits. */
function numberOf(read: () => number): number {
  try {
    return read();
  } catch {
    return NaN;
  }
}

function absolutePath(value: string): string {
  if (!path.isAbsolute(value)) throw new Error(`must be an absolute path, not '${value}'`);
  return path.resolve(value);
}

function stateDirectory(libDir: string, value: string): string {
  const directory = absolutePath(value);
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

function secret(value: string, file: string): Secret {
  if (value !== '' && file !== '') throw new Error('are both set; set one of them');
  if (file === '') return value === '' ? Secret.none : Secret.ofValue(value);
  try {
    return Secret.ofFile(file);
  } catch (error) {
    // What is no path may be the password itself, set in the wrong place.
    const place = file.includes('/') ? file : 'the value is no path and is not shown';
    const why = error instanceof Error ? error.message : 'is unusable';
    throw new Error(`(${place}) ${why}`, { cause: error });
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
