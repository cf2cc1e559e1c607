import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { SettingError, errnoOf } from './errors.ts';
import type { SettingFault } from './errors.ts';
import { inShell } from './text.ts';

/**
 * The settings file: one NAME=VALUE a line, taken literally, without quotes, escapes or variables;
 * comments begin with `#`. No shell reads it. Whoever may write to it decides what is learned, and
 * where root's commands go: it has to be root's, or that of the user who runs the command.
 */
export const SETTINGS_FILE = '/etc/kopano-learnd.conf';

interface SettingsFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, string>;
  /** Its values are not known: it can't be read, or must not be trusted. */
  readonly isClosed: boolean;
  /** What is wrong with it; then some values may be missing. */
  readonly faults: readonly SettingFault[];
}

/** Reads a settings file. @param mustExist it was named, and isn't only looked for */
export function readSettingsFile(path: string, mustExist: boolean): SettingsFile {
  const values = new Map<string, string>();
  const faults: SettingFault[] = [];
  let text = '';
  let isClosed = false;
  try {
    text = readTrusted(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' && !mustExist) return { path, values, faults, isClosed };
    isClosed = true;
    if (code !== undefined) faults.push(unreadable(path, code));
    else if (error instanceof SettingError) {
      faults.push({ says: `${path} ${error.message}`, command: error.command });
    } else throw error;
  }
  for (const [index, line] of text.split('\n').entries()) {
    const [, name, value = ''] = /^\s*([A-Za-z_]\w*)=(.*?)\r?$/s.exec(line) ?? [];
    const place = `${path} line ${index + 1}`;
    if (name === undefined) {
      if (!/^\s*(#|$)/.test(line)) faults.push({ says: `${place} ${misreadOf(line)}` });
    } else if (values.has(name)) {
      faults.push({ says: `${place} sets ${name} once more; leave one of the lines` });
    } else values.set(name, value);
  }
  return { path, values, faults, isClosed };
}

/** An empty file is trusted, whoever made it: /dev/null stands for no settings. */
function readTrusted(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { mode, uid } = fstatSync(fd);
    const text = readFileSync(fd, 'utf8');
    const isOurs = uid === 0 || uid === process.geteuid?.();
    if (text !== '' && (!isOurs || (mode & 0o022) !== 0)) {
      const is = `uid ${uid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`;
      const place = inShell(path);
      const give = isOurs ? '' : `chown root ${place} && `;
      throw new SettingError(`can be written by others (${is})`, `${give}chmod go-w ${place}`);
    }
    return text;
  } finally {
    closeSync(fd);
  }
}

function unreadable(path: string, code: string): SettingFault {
  const says = `${path} cannot be read (${code})`;
  if (code !== 'EACCES') return { says: `${says}; KOPANO_LEARND_CONF names it` };
  const [group, place] = [process.getegid?.() ?? 'GROUP', inShell(path)];
  return { says, command: `chgrp ${group} ${place} && chmod g+r ${place}` };
}

/** What is wrong with a line that sets nothing: most often it was meant for a shell. */
function misreadOf(line: string): string {
  if (/^\s*export\s/.test(line)) return "is not NAME=VALUE: no shell reads it, leave out 'export'";
  if (/^\s*[A-Za-z_]\w*\s+=/.test(line)) return 'is not NAME=VALUE: no blank stands around the =';
  return 'is not NAME=VALUE, nor a comment (#)';
}
