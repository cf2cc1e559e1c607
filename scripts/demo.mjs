/** Bundles the demo beside the daemon that `bundle.mjs` has put into `dist/demo`. */
import { build } from 'esbuild';

await build({
  entryPoints: ['demo/main.ts'],
  outfile: 'dist/demo/demo.mjs',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  logLevel: 'warning',
});
