/** What `npm run release` needs of other programs. */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';

/** A file can't be made here; the message says why, and how it could. */
export class LeftOut extends Error {}

/** Runs a program; what it prints is shown only when it fails. @returns its standard output */
export function run(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.once('error', reject);
    child.once('close', (status, signal) => {
      if (status === 0) return resolve(out);
      const told = `${out}${err}`.trim().split('\n').slice(-30).join('\n');
      reject(new Error(`${program} ${args.join(' ')} ended with ${status ?? signal}:\n${told}`));
    });
  });
}

/** What a program prints; nothing where it fails or is missing. */
export async function capture(program, args) {
  try {
    return await run(program, args);
  } catch {
    return '';
  }
}

/** Whether a program can be run; daemons and root's tools lie where a user's PATH may not look. */
export async function isThere(program) {
  process.env['PATH'] = withSystemFolders(process.env['PATH'] ?? '');
  for (const folder of process.env['PATH'].split(':')) {
    try {
      await access(path.join(folder, program), constants.X_OK);
      return true;
    } catch {
      // the next one
    }
  }
  return false;
}

function withSystemFolders(searched) {
  const missing = ['/usr/sbin', '/sbin'].filter((folder) => !searched.split(':').includes(folder));
  return [searched, ...missing].join(':');
}

/** Packs a folder into a tar file whose bytes depend on what is in it alone. */
export async function pack(folder, output, epoch) {
  await run('tar', [
    ...['--create', '--file', output, '--directory', folder, '--format=gnu', '--sort=name'],
    ...[`--mtime=@${epoch}`, '--owner=0', '--group=0', '--numeric-owner', '.'],
  ]);
}
