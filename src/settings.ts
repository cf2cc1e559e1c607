import env from 'env-var';
import leven from 'leven';
import { SettingError } from './errors.ts';
import type { SettingFault } from './errors.ts';
import { SETTINGS_FILE, readSettingsFile } from './settings-file.ts';
import { clean, inShell, withoutQuotes } from './text.ts';

/**
 * Reads one setting after the other, from the environment and from the settings file, and collects
 * what is wrong with them. The environment wins; an empty variable means the same as an unset one.
 */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A name that looks like a setting and is none. */
interface UnknownSetting {
  readonly name: string;
  /** The setting whose name is the most like it. */
  readonly nearest: string | undefined;
}

/** Throws an error that says which form the text must have. */
type Parse<T> = (text: string) => T;

/** How the names of settings begin; other variables of the environment are somebody else's. */
const OWN = /^(LEARN|RSPAMD|SPAMD|KOPANO_SPAMD|KOPANO_LEARND|STATUS)_/;
/** What Kubernetes and docker's links set for a service that is called `rspamd`. */
const SERVICE_LINK = /_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_|$)/;
const SERVICE_URL = /^(tcp|udp|sctp):\/\//;

export class Settings {
  /** What is wrong, a line each, without a secret. */
  readonly faults: SettingFault[];
  /** The settings file; `undefined` when there is none. */
  readonly file: string | undefined;
  /** The settings file's values are not known: what it sets may have its default here. */
  readonly isFileClosed: boolean;
  readonly #known = new Set(['KOPANO_LEARND_CONF']);
  readonly #values: Readonly<Record<string, string>>;
  readonly #environment: ReadonlyMap<string, string>;
  readonly #inFile: ReadonlyMap<string, string>;

  constructor(environment: Environment) {
    const given = Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
    );
    this.#environment = new Map(given);
    const named = this.#environment.get('KOPANO_LEARND_CONF');
    const file = readSettingsFile(named ?? SETTINGS_FILE, named !== undefined);
    const { path, values, faults } = file;
    this.isFileClosed = file.isClosed;
    this.faults = faults.map((fault) => ({ ...fault, says: clean(fault.says, 400) }));
    this.file = values.size > 0 || named !== undefined ? path : undefined;
    this.#inFile = new Map([...values].filter(([, value]) => value !== ''));
    this.#values = Object.fromEntries([...this.#inFile, ...given]);
  }

  /** A setting as `parse` understands it; where it doesn't, notes that, and goes on with the default. */
  read<T>(name: string, preset: string, parse: Parse<T>): T {
    const text = this.text(name, preset);
    try {
      return parse(text);
    } catch (error) {
      this.note(name, this.#withoutQuotes(name, error, text, parse));
      return parse(preset);
    }
  }

  /** A setting as it stands there. */
  text(name: string, preset = ''): string {
    this.#known.add(name);
    return env.from(this.#values).get(name).default(preset).asString();
  }

  /** Two settings of which one may be set: where the environment has one, the file's don't count. */
  eitherOf(first: string, second: string): readonly [string, string] {
    const texts = [this.text(first), this.text(second)] as const;
    const isHere = [first, second].map((name) => this.#environment.has(name));
    if (isHere[0] === isHere[1]) return texts;
    return isHere[0] === true ? [texts[0], ''] : ['', texts[1]];
  }

  /** Notes what is wrong with a setting, or with some together. */
  note(named: string | readonly string[], error: unknown): void {
    const names = typeof named === 'string' ? [named] : named;
    const command = error instanceof SettingError ? error.command : undefined;
    const says = clean(`${names.join(' and ')} ${messageOf(error)}`, 400);
    const isHere = names.some((name) => this.#environment.has(name));
    this.faults.push({ says, names, where: isHere ? 'the environment' : this.file, command });
  }

  /**
   * To be called when all settings were read: a name in the file that is none of them is a fault, one
   * in the environment only gets noted.
   */
  findUnknown(): readonly UnknownSetting[] {
    const nearest = (name: string): string | undefined => nearestOf(name, this.#known);
    for (const name of this.#inFile.keys()) {
      if (this.#known.has(name)) continue;
      this.note(name, this.#unknownInFile(name, nearest(name)));
    }
    return [...this.#environment]
      .filter(([name, value]) => OWN.test(name) && !this.#known.has(name) && !isLink(name, value))
      .map(([name]) => ({ name: clean(name, 100), nearest: nearest(name) }));
  }

  /** What is wrong with a value that would be right without the quotes around it. */
  #withoutQuotes(name: string, error: unknown, text: string, parse: Parse<unknown>): unknown {
    const bare = withoutQuotes(text);
    if (bare === text || !isRight(bare, parse)) return error;
    const isInFile = !this.#environment.has(name) && this.file !== undefined;
    const command = isInFile
      ? `sed -Ei ${inShell(`s/^(\\s*${name}=)["'](.*)["']\\s*$/\\1\\2/`)} ${inShell(this.file)}`
      : undefined;
    return new SettingError(`${messageOf(error)}; leave out the quotes around it`, command);
  }

  #unknownInFile(name: string, nearest: string | undefined): SettingError {
    const file = this.file ?? '';
    const isSure = nearest !== undefined && !this.#inFile.has(nearest);
    const command = isSure ? `sed -i 's/^\\s*${name}=/${nearest}=/' ${inShell(file)}` : undefined;
    return new SettingError(`(${file}) ${noSetting(nearest)}`, command);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isRight(text: string, parse: Parse<unknown>): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

function isLink(name: string, value: string): boolean {
  return SERVICE_LINK.test(name) || SERVICE_URL.test(value);
}

/** How an unknown setting is told. */
export function unknownText({ name, nearest }: UnknownSetting): string {
  return `${name} ${noSetting(nearest)}`;
}

function noSetting(nearest: string | undefined): string {
  return `is no setting${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
}

/** The name that is the most like another one, if it is like it at all. */
function nearestOf(name: string, names: ReadonlySet<string>): string | undefined {
  const ranked = [...names].map((each) => ({ each, distance: leven(name.toUpperCase(), each) }));
  const best = ranked.reduce((one, other) => (other.distance < one.distance ? other : one));
  return best.distance <= name.length / 2.5 ? best.each : undefined;
}

// --- how values are written

export function choice<const T extends string>(...allowed: readonly T[]): Parse<T> {
  return (text) => {
    const found = allowed.find((each) => each === text);
    if (found !== undefined) return found;
    const forms = `${allowed.slice(0, -1).join(', ')} or ${allowed.at(-1) ?? ''}`;
    throw new Error(`must be ${forms}, not '${text}'`);
  };
}

export function yesOrNo(text: string): boolean {
  if (['yes', 'true', 'on', '1'].includes(text.toLowerCase())) return true;
  if (['no', 'false', 'off', '0'].includes(text.toLowerCase())) return false;
  throw new Error(`must be yes or no, not '${text}'`);
}

const MS = {
  ...{ ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 },
  ...{ sec: 1_000, min: 60_000 },
  ...{ second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 604_800_000 },
};
const BYTES = { b: 1, byte: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
/** The end of a unit that is a word: `30 days`. */
const PLURAL = /(?<=[a-z]{3})s$/;

/** A whole number from one to another. */
export function whole(min: number, max: number): Parse<number> {
  return quantity({ min, max });
}

/** Milliseconds. @param unit that of a mere number, and of `min` and `max`, in milliseconds */
export function duration(unit: number, min: number, max: number): Parse<number> {
  const form = ', or with a unit: 500ms, 2s';
  const parse = quantity({ min, max, unit, units: MS, isWhole: unit === MS.ms, form });
  return (text) => parse(text) * unit;
}

/** Whole days. */
export function days(min: number, max: number): Parse<number> {
  return quantity({ min, max, unit: MS.d, units: MS, form: ', or with a unit: 4w' });
}

/** Bytes; K, M and G are powers of 1,024, with B or iB behind them or without. */
export function bytes(min: number, max: number): Parse<number> {
  const parse = quantity({ min, max, units: BYTES, form: ', or with a unit: 50M' });
  return (text) => parse(text.replace(/(?<=[kmg])i?b$/i, ''));
}

/** Syslog's severities by number (RFC 5424), the most severe first. */
export const SEVERITIES = [
  ...(['emerg', 'alert', 'crit', 'err'] as const),
  ...(['warning', 'notice', 'info', 'debug'] as const),
] as const;

export type Severity = (typeof SEVERITIES)[number];

/** A severity, by number or name. */
export function severity(text: string): number {
  const names: Readonly<Record<string, string>> = { error: 'err', warn: 'warning' };
  const name = text.toLowerCase();
  const index = SEVERITIES.findIndex((each) => each === (names[name] ?? name));
  if (index !== -1) return index;
  return quantity({ min: 0, max: 7, form: ', or a name: debug' })(text);
}

interface Quantity {
  readonly min: number;
  readonly max: number;
  /** What a mere number counts, in the measure of `units`. @defaultValue 1 */
  readonly unit?: number;
  readonly units?: Readonly<Record<string, number>>;
  /** @defaultValue true */
  readonly isWhole?: boolean;
  /** What else may be written, for the error. */
  readonly form?: string;
}

/** A number in `unit`, written with or without a unit. */
function quantity(allowed: Quantity): Parse<number> {
  const { min, max, unit = 1, units = {}, isWhole = true, form = '' } = allowed;
  return (text) => {
    const [, digits = '', name = ''] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text) ?? [];
    const factor = name === '' ? unit : (units[name.toLowerCase().replace(PLURAL, '')] ?? NaN);
    // 2.01 * 1000 is not quite 2010.
    const value = Number(((Number(digits || NaN) * factor) / unit).toPrecision(12));
    const isFit = !isWhole || (Number.isInteger(value) && (name !== '' || !digits.includes('.')));
    if (isFit && value >= min && value <= max) return value;
    const what = isWhole ? 'a whole number' : 'a number';
    throw new Error(`must be ${what} from ${min} to ${max}${form}, not '${text}'`);
  };
}
