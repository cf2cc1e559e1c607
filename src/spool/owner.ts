import { spawn } from 'node:child_process';
import { constants, openSync } from 'node:fs';
import { EXIT, LocalFault, OperatorError, errnoOf, ifAllowed } from '../errors.ts';
import { installCommand } from '../host.ts';
import { closeUnwritten } from './folder.ts';
import type { Folder } from './folder.ts';

/**
 * One owner of a spool, by kernel locks that die with its process. Node.js has no flock(2), so a
 * child `flock -n 3` locks a descriptor that it inherits from us and exits; the lock stays with our
 * open file: refused to others while we are stopped by SIGSTOP, free as soon as we are dead. There
 * is no heartbeat, because an owner that slept must not wake and post an old verdict.
 */

export type LockResult = 'locked' | 'held' | 'unsupported';

/** In the state dir; its lock is the owner's. */
export const LOCK_FILE = 'owner.lock';

/**
 * Locks an open file exclusively, for as long as it stays open.
 * @returns `held` when another process has it, `unsupported` where the file system can't (NFS
 *   refuses it on directories)
 * @throws {OperatorError} `owner.no-flock`, exit 78, when there is no `flock` program
 * @throws another error where that could not be found out
 */
export function lockDescriptor(fd: number): Promise<LockResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'pipe', fd] });
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint += chunk.toString('latin1');
    });
    child.once('error', (error) => reject(errnoOf(error) === 'ENOENT' ? noFlock() : error));
    child.once('close', (code, signal) => {
      if (code === 0) resolve('locked');
      // It was killed (out of memory), or could not be loaded: that says nothing about locks.
      else if (code === null || code >= 126) {
        reject(new LocalFault(`flock ended with ${signal ?? code}`));
      }
      // flock says nothing when somebody else has the lock; its other failures have a message.
      else resolve(code === 1 && complaint === '' ? 'held' : 'unsupported');
    });
  });
}

function noFlock(): OperatorError {
  return new OperatorError({
    code: 'owner.no-flock',
    message: 'the program flock, which makes this daemon the only owner of its spool, is missing',
    hint: 'install it',
    command: installCommand('util-linux', 'flock', 'util-linux-core'),
    exitCode: EXIT.configuration,
  });
}

/** The lock file of a state dir, held. */
export interface Ownership {
  release(): void;
}

/**
 * Tries to become the owner of a state dir.
 * @returns `undefined` while another daemon owns it
 * @throws {OperatorError} `owner.no-flock` or `owner.unsupported`
 */
export async function acquireOwnership(stateDir: Folder): Promise<Ownership | undefined> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  // Opened for writing: NFS grants exclusive locks on nothing else.
  const fd = openSync(stateDir.at(LOCK_FILE), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  let result: LockResult = 'held';
  try {
    result = await lockDescriptor(fd);
    if (result === 'unsupported') {
      throw new OperatorError({
        code: 'owner.unsupported',
        message: `the file system of ${stateDir.path} has no file locks`,
        hint: 'set LEARN_STATE_DIR to a folder on a local file system',
        exitCode: EXIT.configuration,
      });
    }
  } finally {
    if (result !== 'locked') closeUnwritten(fd);
  }
  if (result !== 'locked') return undefined;
  let open = true;
  return {
    release() {
      if (open) closeUnwritten(fd);
      open = false;
    },
  };
}

/**
 * Asks whether some daemon owns a state dir, by trying its lock for a moment. Makes no lock file.
 * @returns `undefined` when there is no lock file, or it may not be opened
 * @throws {OperatorError} `owner.no-flock`
 */
export async function probeOwnership(stateDir: Folder): Promise<LockResult | undefined> {
  const { O_RDWR, O_NOFOLLOW } = constants;
  const fd = ifAllowed(() => openSync(stateDir.at(LOCK_FILE), O_RDWR | O_NOFOLLOW));
  if (fd === undefined) return undefined;
  try {
    return await lockDescriptor(fd);
  } finally {
    closeUnwritten(fd);
  }
}
