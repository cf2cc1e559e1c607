import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);

/** A file of the project, such as `service/compose.yaml`. */
export function projectFile(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** What goes into an image, in a folder of its own that every user may read. */
export class Bundle {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Bundle> {
    const folder = await mkdtemp(join(tmpdir(), 'learnd-bundle-'));
    const target = join(folder, 'bundle');
    await run(process.execPath, [projectFile('scripts/bundle.mjs'), target]);
    await chmod(folder, 0o755);
    return new Bundle(target);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(join(this.folder, '..'), { recursive: true });
  }
}
