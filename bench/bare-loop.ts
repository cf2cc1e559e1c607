/**
 * The floor: the least that any pickup has to do. Lists `FROM/spam` and `FROM/ham`, lstats every
 * file and renames it to the same place below `TO`, in one loop without any question asked. Prints
 * the milliseconds that took, then waits to be killed, so that its memory can be read.
 */
import { lstatSync, mkdirSync, opendirSync, renameSync } from 'node:fs';
import { join } from 'node:path';

const [, , from, to] = process.argv;
if (from === undefined || to === undefined) throw new Error('usage: bare-loop.js FROM TO');

const start = performance.now();
for (const verdict of ['spam', 'ham']) {
  mkdirSync(join(to, verdict), { recursive: true });
  const folder = opendirSync(join(from, verdict), { bufferSize: 1024 });
  for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
    const path = join(from, verdict, entry.name);
    if (lstatSync(path).isFile()) renameSync(path, join(to, verdict, entry.name));
  }
  folder.closeSync();
}
console.log(String(performance.now() - start));
setInterval(() => undefined, 2 ** 30);
