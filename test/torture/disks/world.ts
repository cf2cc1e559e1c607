import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../../src/errors.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import { Spool } from '../../faults/child-daemon.ts';
import type { ChildDaemon, Settings } from '../../faults/child-daemon.ts';
import { FaultServer } from '../../faults/fault-server.ts';
import { plays } from '../../faults/plays.ts';

/**
 * The built daemon with its folders on a small file system of their own (ext4 in a file, mounted by
 * a loop device), which can really be full, out of inodes or read-only.
 */

/** What lies on the small file system. */
export type Layout = 'all of it' | 'the state dir' | 'the drop directory';

export class SmallDisk {
  readonly folder: string;
  readonly #image: string;

  /** Makes it and mounts it at `folder`. */
  constructor(folder: string) {
    this.folder = folder;
    this.#image = `${folder}.img`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(this.#image, '');
    truncateSync(this.#image, 4 << 20);
    // No blocks that are kept for root; few enough inodes to use them up in a moment.
    const format = ['-q', '-F', '-b', '1024', '-m', '0', '-N', '128', '-O', '^has_journal'];
    execFileSync('mkfs.ext4', [...format, this.#image]);
    execFileSync('mount', ['-o', 'loop', this.#image, folder]);
    rmSync(join(folder, 'lost+found'), { recursive: true });
  }

  /** Leaves not a byte. */
  fill(): void {
    const fd = openSync(this.#filler, 'a');
    try {
      // Large pieces first: the last bytes are found by small ones.
      for (let size = 64 << 10; size >= 1; size >>= 1) writeUntilFull(fd, size);
    } finally {
      closeSync(fd);
    }
    execFileSync('sync', ['-f', this.folder]);
  }

  /** Leaves no inode. */
  useUpInodes(): void {
    mkdirSync(this.#filler);
    for (let i = 0; ; i += 1) {
      try {
        writeFileSync(join(this.#filler, String(i)), '');
      } catch (error) {
        if (errnoOf(error) !== 'ENOSPC') throw error;
        return;
      }
    }
  }

  /** Makes room again. */
  free(): void {
    rmSync(this.#filler, { recursive: true });
  }

  remount(how: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${how}`, this.folder]);
  }

  /** What the kernel does when it finds the file system broken: only a check makes it writable. */
  abort(): void {
    // What has not reached the disk before is lost by it, and nobody's promise.
    execFileSync('sync', ['-f', this.folder]);
    execFileSync('mount', ['-o', 'remount,errors=remount-ro', this.folder]);
    execFileSync('mount', ['-o', 'remount,abort', this.folder]);
  }

  /** Checks and mounts it anew, once nobody has it open. */
  repair(): void {
    this.unmount();
    spawnSync('e2fsck', ['-f', '-y', this.#image]);
    execFileSync('mount', ['-o', 'loop', this.#image, this.folder]);
  }

  unmount(): void {
    execFileSync('umount', [this.folder]);
  }

  get #filler(): string {
    return join(this.folder, 'filler');
  }
}

function writeUntilFull(fd: number, size: number): void {
  const piece = Buffer.alloc(size, 'x');
  for (;;) {
    try {
      if (writeSync(fd, piece) < size) return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOSPC') throw error;
      return;
    }
  }
}

/** A spool, a controller that learns, and a small disk below one of its parts. */
export class DiskWorld implements AsyncDisposable {
  readonly spool = new Spool();
  readonly server: FaultServer;
  readonly disk: SmallDisk;
  readonly stateDir: string;
  readonly #daemons: ChildDaemon[] = [];

  private constructor(server: FaultServer, layout: Layout) {
    const { folder, lib } = this.spool;
    this.server = server;
    const isStateOnly = layout === 'the state dir';
    this.disk = new SmallDisk(isStateOnly ? join(folder, 'small') : lib);
    for (const verdict of ['spam', 'ham']) mkdirSync(join(lib, verdict), { recursive: true });
    this.stateDir =
      layout === 'all of it'
        ? join(lib, '.learnd')
        : join(folder, isStateOnly ? 'small/state' : 'state');
  }

  static async make(layout: Layout): Promise<DiskWorld> {
    return new DiskWorld(await FaultServer.start({ play: plays() }), layout);
  }

  start(settings: Settings = {}): ChildDaemon {
    const daemon = this.spool.start({
      RSPAMD_URL: this.server.url,
      LEARN_STATE_DIR: this.stateDir,
      LEARN_MAX_ATTEMPTS: '2',
      ...settings,
    });
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Everything in the drop directory and in the state dir but the archive and the lock. */
  get waiting(): string[] {
    const places = ['spam', 'ham'].flatMap((verdict) => [
      join(this.spool.lib, verdict),
      ...['queue', 'release', 'quarantine'].map((place) => join(this.stateDir, place, verdict)),
    ]);
    return [...places, join(this.stateDir, 'tmp')].flatMap((place) =>
      existsSync(place) ? readdirSync(place).map((name) => `${place}/${name}`) : [],
    );
  }

  /** Messages that are not in the archive, byte for byte and once. */
  unarchived(messages: readonly MadeMessage[]): string[] {
    return messages
      .filter(({ verdict, name, raw }) => {
        const copies = ['spam', 'ham'].flatMap((each) => this.#archived(each, name));
        const [copy] = copies;
        return copies.length !== 1 || copy?.verdict !== verdict || !copy.body.equals(raw);
      })
      .map(({ name }) => name);
  }

  #archived(verdict: string, name: string): { verdict: string; body: Buffer }[] {
    const folder = join(this.stateDir, 'archive', verdict);
    return readdirSync(folder)
      .map((day) => join(folder, day, name))
      .filter((file) => existsSync(file))
      .map((file) => ({ verdict, body: readFileSync(file) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon.kill();
    this.disk.unmount();
    await this.spool[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}
