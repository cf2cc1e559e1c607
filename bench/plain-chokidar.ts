/**
 * The obvious way: `chokidar.watch` of both class folders with its defaults, which reports every
 * file that is there and then is ready. Prints the milliseconds from this process's start until
 * then, or what went wrong, and waits to be killed, so that memory and watches can be read.
 */
import { watch } from 'chokidar';
import { join } from 'node:path';

const [, , lib] = process.argv;
if (lib === undefined) throw new Error('usage: plain-chokidar.js LIB');

const watcher = watch([join(lib, 'spam'), join(lib, 'ham')]);
let failure: string | undefined;
watcher.on('error', (error) => {
  failure ??= error instanceof Error ? error.message : String(error);
});
watcher.on('ready', () => console.log(failure ?? String(performance.now())));
