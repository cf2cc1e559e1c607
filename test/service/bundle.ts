import { execFile } from 'node:child_process';
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFolder } from '../support/run.ts';

export const run = promisify(execFile);

/** A file of the project, such as `service/compose.yaml`. */
export function projectFile(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** What goes into an image, in a folder of its own that every user may read and execute from. */
export class Bundle implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Bundle> {
    const folder = await mkdtemp(join(tmpdir(), 'learnd-bundle-'));
    await cp(packageFolder(), folder, {
      recursive: true,
      verbatimSymlinks: true,
    });
    await chmod(folder, 0o755);
    return new Bundle(folder);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}
