import fs from 'node:fs';
import type { BigIntStats, Dir } from 'node:fs';
import { Replacements, watchFileSystem } from '../../support/fs-steps.ts';
import { real } from './machine.ts';
import type { Machine, Process } from './machine.ts';

/**
 * Puts the model's machine under `node:fs`: what a daemon of the model calls goes there, what anybody
 * else calls goes straight to the system.
 */
type Call = (...args: unknown[]) => unknown;

/**
 * Puts the machines under `node:fs`, for as long as a suite runs.
 * @param current the machine of the run
 * @returns what puts everything back
 */
export function installMachine(current: () => Machine | undefined): () => void {
  const replacements = new Replacements();
  const replace = (
    owner: object,
    name: string,
    make: (machine: Machine, process: Process, original: Call, args: unknown[]) => unknown,
  ): void => {
    replacements.replace(owner, name, (original) => (...args) => {
      const machine = current();
      const process = machine?.running;
      if (machine === undefined || process === undefined) return original(...args);
      return make(machine, process, original, args);
    });
  };
  replace(fs, 'openSync', (machine, process, original, args) => {
    const fd = original(...args) as number;
    machine.opened(process, fd, String(args[0]));
    return fd;
  });
  replace(fs, 'closeSync', (machine, process, original, args) =>
    machine.closed(process, args[0] as number, (fd) => original(fd)),
  );
  replace(fs, 'opendirSync', (_machine, process, original, args) => {
    const list = original(...args) as Dir;
    process.lists.add(list);
    const close = list.closeSync.bind(list);
    list.closeSync = () => {
      process.lists.delete(list);
      close();
    };
    return list;
  });
  // A disk that gets full in the middle of it takes a part.
  replace(fs, 'writeFileSync', (machine, process, original, args) => {
    const [to, bytes, options] = args as [number | string | Buffer, string | Buffer, object];
    const path = typeof to === 'number' ? (process.descriptors.get(to) ?? '') : String(to);
    try {
      machine.meet(process, { call: 'writeFileSync', path, when: 'before' });
    } catch (error) {
      original(to, bytes.slice(0, bytes.length / 2), options);
      throw error;
    }
    return original(...args);
  });
  replace(fs, 'lstatSync', (machine, process, original, args) => {
    const stats = original(...args) as BigIntStats | undefined;
    machine.looked(process, String(args[0]), stats);
    return stats;
  });
  replace(fs, 'renameSync', (machine, process, original, args) =>
    machine.renamed(process, String(args[0]), String(args[1]), () => original(...args)),
  );
  replace(fs, 'unlinkSync', (machine, process, original, args) =>
    machine.removed(process, String(args[0]), () => original(...args)),
  );
  replace(fs.promises, 'open', (machine, process, _original, args) =>
    machine.later(process, () =>
      openHandle(machine, process, args as Parameters<typeof real.openSync>),
    ),
  );
  replace(fs.promises, 'rm', (machine, process, _original, args) =>
    machine.later(process, () => {
      machine.cleared(process, String(args[0]));
      real.rmSync(...(args as Parameters<typeof real.rmSync>));
    }),
  );
  const restoreSteps = watchFileSystem(
    (path) => path.startsWith('/') && current()?.running !== undefined,
    (step) => {
      const machine = current();
      const process = machine?.running;
      if (machine === undefined || process === undefined) return;
      machine.step(process);
      machine.meet(process, step);
    },
  );
  return () => {
    restoreSteps();
    replacements.restore();
  };
}

/** A file handle whose calls take the model's time. */
function openHandle(
  machine: Machine,
  process: Process,
  args: Parameters<typeof real.openSync>,
): object {
  const fd = real.openSync(...args);
  machine.opened(process, fd, String(args[0]));
  const later = <T>(act: () => T): Promise<T> => machine.later(process, act);
  return {
    stat: (options: { bigint: true }) => later(() => real.fstatSync(fd, options)),
    read: (buffer: Buffer, offset: number, length: number, position: number) =>
      later(() => ({ bytesRead: real.readSync(fd, buffer, offset, length, position), buffer })),
    writeFile: (text: string | Buffer) => later(() => real.writeFileSync(fd, text)),
    utimes: (atime: Date, mtime: number) => later(() => real.futimesSync(fd, atime, mtime)),
    sync: () => later(() => undefined),
    close: () => later(() => machine.closed(process, fd, real.closeSync)),
  };
}
