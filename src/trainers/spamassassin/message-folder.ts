import { unlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../errors.ts';
import { yieldIfDue } from '../../yield-if-due.ts';

/**
 * The messages of one run of `sa-learn`: a temporary folder of this user alone, in which they lie by
 * numbers from 0 on, because `sa-learn` globs names.
 */

const PREFIX = 'kopano-learnd-sa-learn-';
/** With the process id it names one process. */
const STARTED = Math.round(performance.timeOrigin).toString(36);

export class MessageFolder {
  readonly path: string;
  #count = 0;

  private constructor(folder: string) {
    this.path = folder;
  }

  /** @throws the system's error for a disk fault */
  static async make(temporary: string): Promise<MessageFolder> {
    // It must not be seen by whoever owns the place of temporary files.
    const name = `${PREFIX}${process.pid}-${STARTED}-`;
    return new MessageFolder(await mkdtemp(path.join(temporary, name)));
  }

  /** @throws the system's error for a disk fault */
  async add(body: Buffer): Promise<void> {
    writeFileSync(this.#at(this.#count), body, { flag: 'wx', mode: 0o600 });
    this.#count += 1;
    await yieldIfDue();
  }

  /** The messages that lie in it. */
  get count(): number {
    return this.#count;
  }

  /** Takes all but so many away, the last one first: who reads them in turn finds no gap. */
  keep(count: number): void {
    try {
      for (; this.#count > count; this.#count -= 1) unlinkSync(this.#at(this.#count - 1));
    } catch (error) {
      // They stay, then.
      if (codeOf(error) === undefined) throw error;
    }
  }

  /** What can't be removed is no reason to learn nothing. */
  async remove(): Promise<void> {
    await removeFolder(this.path);
  }

  #at(index: number): string {
    return path.join(this.path, String(index));
  }
}

/**
 * Removes what killed processes of this user left. An `sa-learn` that outlived one, and waits for the
 * lock, learns nothing of it any more.
 * @throws the system's error where the place can't be read
 */
export async function removeLeftovers(temporary: string): Promise<void> {
  for (const name of await readdir(temporary)) {
    const [, pid, started] = /^kopano-learnd-sa-learn-(\d+)-([0-9a-z]+)-\w{6}$/.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid), started)) continue;
    const place = path.join(temporary, name);
    const owner = await stat(place).then(
      ({ uid }) => uid,
      () => undefined,
    );
    if (owner === process.geteuid?.()) await removeFolder(place);
  }
}

async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
}

function isAlive(pid: number, started: string | undefined): boolean {
  // In a container each start has the same process id.
  if (pid === process.pid) return started === STARTED;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
