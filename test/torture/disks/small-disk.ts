import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../../src/errors.ts';

/** A small file system (ext4 in a file, on a loop device) that can really be full or read-only. */
export class SmallDisk {
  readonly folder: string;
  readonly #image: string;
  readonly #filler: string;

  /** Makes it and mounts it at `folder`. */
  constructor(folder: string) {
    this.folder = folder;
    this.#image = `${folder}.img`;
    this.#filler = join(folder, 'filler');
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
    // Large pieces first: the last bytes are found by small ones.
    for (let size = 64 << 10; size >= 1; size >>= 1) {
      const piece = Buffer.alloc(size, 'x');
      untilFull(() => writeSync(fd, piece) === size);
    }
    closeSync(fd);
    execFileSync('sync', ['-f', this.folder]);
  }

  /** Leaves no inode. */
  useUpInodes(): void {
    mkdirSync(this.#filler);
    let made = 0;
    untilFull(() => {
      writeFileSync(join(this.#filler, String((made += 1))), '');
      return true;
    });
  }

  /** Makes room again. */
  free(): void {
    rmSync(this.#filler, { recursive: true });
  }

  makeReadOnly(): void {
    execFileSync('mount', ['-o', 'remount,ro', this.folder]);
  }

  makeWritable(): void {
    execFileSync('mount', ['-o', 'remount,rw', this.folder]);
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
}

function untilFull(write: () => boolean): void {
  try {
    while (write());
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
  }
}
