/** `node scripts/demo.mjs FOLDER`: bundles the demo beside the daemon that `bundle.mjs` put there. */
import { build } from 'esbuild';
import path from 'node:path';

const folder = path.resolve(process.argv[2] ?? 'dist/demo');
process.chdir(path.join(import.meta.dirname, '..'));

await build({
  entryPoints: ['demo/main.ts'],
  outfile: path.join(folder, 'demo.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  logLevel: 'warning',
});
