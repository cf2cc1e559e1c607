import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EXIT } from '../src/errors.ts';
import { demo } from './demo.ts';

/** The demo as a process of its own; the daemon's bundle lies beside it, in `bin/`. */

const keep = readFlags();
// Root's servers become others, who have to read what is made for them.
process.umask(0o022);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => stop.abort());
}
// A reader that goes away has seen enough.
process.stdout.on('error', () => stop.abort());
const bundle = join(dirname(fileURLToPath(import.meta.url)), 'bin/kopano-learnd.mjs');
const asOneself = process.geteuid?.() === 0 ? ['--user', 'root'] : [];
process.exitCode = await demo({
  signal: stop.signal,
  searchPath: process.env['PATH'] ?? '',
  write: (text) => process.stdout.write(text),
  // The demo's spool belongs to who runs it.
  program: [process.execPath, bundle, ...asOneself],
  keep,
});

/** Whether all is to run on in the end. */
function readFlags(): boolean {
  try {
    return parseArgs({ options: { keep: { type: 'boolean', default: false } } }).values.keep;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${why}\nusage: npm run demo -- [--keep]\n`);
    process.exit(EXIT.usage);
  }
}
