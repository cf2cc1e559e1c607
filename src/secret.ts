import { readFileSync, statSync } from 'node:fs';
import { SettingError, errnoOf } from './errors.ts';
import { inShell, withoutQuotes } from './text.ts';

/**
 * The controller's password. It lives behind a method so that no serializer meets it by accident,
 * and it can be read again when its file has changed.
 */
export class Secret {
  #value: string | undefined;
  readonly #file: string | undefined;

  private constructor(value?: string, file?: string) {
    this.#value = value;
    this.#file = file;
  }

  static readonly none = new Secret();

  static ofValue(value: string): Secret {
    return new Secret(checked(value));
  }

  /**
   * Reads the password from `file`; one trailing newline is dropped.
   * @throws {Error} with a sentence for the operator when the file can't be read or used
   */
  static ofFile(file: string): Secret {
    return new Secret(readSecretFile(file), file);
  }

  /** The password as the value of an HTTP header: UTF-8 bytes, one character each. */
  header(): string | undefined {
    return this.#value && Buffer.from(this.#value, 'utf8').toString('latin1');
  }

  /** Reads the file again, where there is one; true when the password is another one now. */
  refresh(): boolean {
    if (this.#file === undefined) return false;
    const before = this.#value;
    try {
      this.#value = readSecretFile(this.#file);
    } catch {
      // Being replaced at this moment: the old one stays until the next try.
    }
    return this.#value !== before;
  }

  /** `text` without the password in it, neither as text nor as the bytes of a header. */
  redact(text: string): string {
    const forms = [this.#value, this.header()].filter((form) => form !== undefined);
    return forms.reduce((rest, form) => rest.replaceAll(form, '[password]'), text);
  }

  /** It stands in quotes, as a shell would take them away; here they are a part of it. */
  get isInQuotes(): boolean {
    return this.#value !== undefined && withoutQuotes(this.#value) !== this.#value;
  }

  toJSON(): string {
    return '[password]';
  }
}

function readSecretFile(file: string): string {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    const code = errnoOf(error) ?? 'unknown error';
    const isShut = code === 'EACCES' && !isReachable(file);
    const [uid, place] = [process.geteuid?.() ?? 'USER', inShell(file)];
    const why = isShut ? `: uid ${uid} may not enter a folder above it; keep it in /etc` : '';
    const isCurable = code === 'EACCES' && !isShut;
    const command = isCurable ? `chown ${uid} ${place} && chmod u+r ${place}` : undefined;
    throw new SettingError(`cannot be read (${code})${why}`, command, error);
  }
  return checked(content.replace(/\r?\n$/, ''));
}

/** Whether this user may enter all folders above a file. */
function isReachable(file: string): boolean {
  try {
    statSync(file);
    return true;
  } catch {
    return false;
  }
}

function checked(value: string): string {
  if (value === '') throw new Error('holds no password');
  // eslint-disable-next-line no-control-regex -- a control character can't be sent in a header
  if (/[\u0000-\u001f\u007f]/.test(value)) {
    throw new Error('holds a control character or a line break, which an HTTP header cannot carry');
  }
  return value;
}
