import { buildSync } from 'esbuild';
import { fileURLToPath } from 'node:url';

/**
 * Node's arguments that load a file of this folder, and what it imports, into a child process before
 * the program itself: `[process.execPath, ...preload('failpoints.ts'), program(), 'watch']`.
 */
export function preload(file: string): readonly string[] {
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL(file, import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error(`nothing came of ${file}`);
  const text = encodeURIComponent(output.text);
  return ['--import', `data:text/javascript,${text}`];
}
