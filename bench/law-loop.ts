/**
 * What the laws alone cost a pickup: as the bare loop, but with every look at a file that a law needs
 * (the table in `bench/README.md`), each through the descriptor of its folder, as one has to look in a
 * folder that strangers may swap. No memory, no waiting, no queue. Prints the milliseconds that took,
 * then waits to be killed.
 */
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  renameSync,
} from 'node:fs';
import { join } from 'node:path';

const [, , from, to] = process.argv;
if (from === undefined || to === undefined) throw new Error('usage: law-loop.js FROM TO');

const start = performance.now();
const [spam, ham] = [classOf(from, to, 'spam'), classOf(from, to, 'ham')];
pickUp(spam, ham);
pickUp(ham, spam);
console.log(String(performance.now() - start));
setInterval(() => undefined, 2 ** 30);

interface ClassFolders {
  readonly path: string;
  readonly drop: string;
  readonly queue: string;
}

function classOf(from: string, to: string, verdict: string): ClassFolders {
  const path = join(from, verdict);
  return { path, drop: opened(path), queue: opened(join(to, verdict)) };
}

/** The address of a folder that is held open. */
function opened(path: string): string {
  mkdirSync(path, { recursive: true });
  return `/proc/self/fd/${openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)}/`;
}

function look(address: string): void {
  lstatSync(address, { bigint: true, throwIfNoEntry: false });
}

function pickUp(own: ClassFolders, other: ClassFolders): void {
  const folder = opendirSync(`${own.drop}.`, { bufferSize: 1024 });
  for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
    const { name } = entry;
    look(own.drop + name);
    look(own.drop + name);
    accessSync(own.drop + name, constants.R_OK);
    look(other.drop + name);
    look(other.path);
    look(own.queue + name);
    look(other.queue + name);
    renameSync(own.drop + name, own.queue + name);
    look(own.queue + name);
  }
  folder.closeSync();
}
