import fs, { readlinkSync } from 'node:fs';
import type { Dir } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { FileHandle } from 'node:fs/promises';
import { onTestFinished } from 'vitest';

/**
 * Every step that the program takes on the file system, made visible and breakable. The functions of
 * `node:fs` and `node:fs/promises` are replaced in place, so that the program that runs is the one
 * that is shipped: it holds no failpoints of its own.
 *
 * A step is a call on a path that is watched, or on what such a call has opened (a descriptor, a
 * file handle, a folder that is being listed). The hook hears of it twice, before and after. What it
 * throws is what the program gets: before the call nothing has happened yet, after it all of it has.
 */
export interface FsStep {
  /** The call: `renameSync`, `open`, `FileHandle.read`, `Dir.readSync`. */
  readonly call: string;
  /** What it is about, for people: a path, or that of what was opened. */
  readonly path: string;
  readonly when: 'before' | 'after';
}

type FsHook = (step: FsStep) => void;

/** Sees to it that the program meets `code` as it would come from the system. */
export function systemError(code: string, { call, path }: FsStep): NodeJS.ErrnoException {
  const syscall = call.replace(/^.*\./, '').replace(/Sync$/, '');
  const error: NodeJS.ErrnoException = new Error(`${code}: injected, ${syscall} '${path}'`);
  return Object.assign(error, { code, syscall, path });
}

const BY_PATH = [
  'accessSync',
  'chmodSync',
  'lstatSync',
  'mkdirSync',
  'opendirSync',
  'openSync',
  'renameSync',
  'rmSync',
  'statSync',
  'unlinkSync',
] as const;
const BY_DESCRIPTOR = ['closeSync', 'fstatSync', 'readSync'] as const;
const BY_PATH_LATER = ['open', 'rm'] as const;
const OF_HANDLES = ['stat', 'read', 'writeFile', 'sync', 'utimes', 'close'] as const;
const OF_LISTS = ['readSync', 'closeSync'] as const;
/** What has been closed stays closed, also when closing reports an error. */
const CLOSING = new Set(['closeSync', 'FileHandle.close', 'Dir.closeSync']);

type Call = (...args: unknown[]) => unknown;
type Calls = Record<string, Call>;

/** Functions of Node's modules that are others until they are restored. */
export class Replacements {
  readonly #undo: (() => void)[] = [];

  /** Seen by who has imported the function by its name after the next {@link sync}. */
  replace(owner: object, name: string, make: (original: Call) => Call): void {
    const calls = owner as Calls;
    const original = calls[name];
    if (original === undefined) throw new Error(`there is no ${name}`);
    calls[name] = make(original);
    this.#undo.push(() => {
      calls[name] = original;
    });
  }

  sync(): void {
    syncBuiltinESMExports();
  }

  restore(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
    this.sync();
  }
}

/**
 * Replaces the functions until the returned one is called.
 * @param isWatched whether steps on this path count; `/proc/self/fd/N/NAME` is how the program names
 *   what lies in a folder that it holds open
 */
export function watchFileSystem(isWatched: (path: string) => boolean, hook: FsHook): () => void {
  const opened = new Map<number, string>();
  const replacements = new Replacements();
  const step = (call: string, path: string, act: () => unknown): unknown => {
    if (CLOSING.has(call)) {
      const result = act();
      hook({ call, path, when: 'before' });
      hook({ call, path, when: 'after' });
      return result;
    }
    hook({ call, path, when: 'before' });
    const result = act();
    if (!(result instanceof Promise)) {
      hook({ call, path, when: 'after' });
      return result;
    }
    return result.then((value: unknown) => {
      hook({ call, path, when: 'after' });
      return value;
    });
  };
  const stepLater = (call: string, path: string, act: () => unknown): Promise<unknown> =>
    Promise.resolve().then(() => step(call, path, act));

  for (const name of BY_PATH) {
    replacements.replace(fs, name, (original) => (...args) => {
      const path = textOf(args[0]);
      if (!isWatched(path)) return original(...args);
      try {
        const result = step(name, path, () => original(...args));
        if (name === 'openSync') opened.set(result as number, path);
        if (name === 'opendirSync') watchList(result as Dir, path);
        return result;
      } catch (error) {
        // As the system would: nothing there is an answer, not an error.
        if (isAnswered(args[1]) && isMissing(error)) return undefined;
        throw error;
      }
    });
  }
  for (const name of BY_DESCRIPTOR) {
    replacements.replace(fs, name, (original) => (...args) => {
      const path = opened.get(args[0] as number);
      if (path === undefined) return original(...args);
      if (name === 'closeSync') opened.delete(args[0] as number);
      return step(name, path, () => original(...args));
    });
  }
  for (const name of BY_PATH_LATER) {
    replacements.replace(fs.promises, name, (original) => (...args) => {
      const path = textOf(args[0]);
      if (!isWatched(path)) return original(...args);
      return stepLater(name, path, async () => {
        const result = await original(...args);
        if (name === 'open') watchHandle(result as FileHandle, path);
        return result;
      });
    });
  }

  const watchHandle = (handle: FileHandle, path: string): void => {
    const own = handle as unknown as Calls;
    for (const name of OF_HANDLES) {
      const original = own[name]?.bind(handle);
      if (original === undefined) throw new Error(`a file handle has no ${name}`);
      own[name] = (...args) => stepLater(`FileHandle.${name}`, path, () => original(...args));
    }
  };
  const watchList = (list: Dir, path: string): void => {
    const own = list as unknown as Calls;
    for (const name of OF_LISTS) {
      const original = own[name]?.bind(list);
      if (original === undefined) throw new Error(`a list has no ${name}`);
      own[name] = (...args) => step(`Dir.${name}`, path, () => original(...args));
    }
  };

  replacements.sync();
  return () => replacements.restore();
}

/** Lets steps on the file system fail for one test, until the returned function is called. */
export function failSteps(codeOf: (step: FsStep) => string | undefined): () => void {
  let isOver = false;
  const restore = watchFileSystem(
    (path) => path.startsWith('/proc/self/fd/') || path.includes('learnd-test-'),
    (step) => {
      const code = isOver ? undefined : codeOf(step);
      if (code !== undefined) throw systemError(code, step);
    },
  );
  onTestFinished(restore);
  return () => {
    isOver = true;
  };
}

/** The first step that fits fails with this error, and no other. */
export function failOnce(code: string, isIt: (step: FsStep) => boolean): void {
  let isMet = false;
  failSteps((step) => {
    if (isMet || !isIt(step)) return undefined;
    isMet = true;
    return code;
  });
}

/**
 * Does something at the first step that fits.
 * @returns says how many steps fitted so far
 */
export function actOnce(isIt: (step: FsStep) => boolean, act: () => void): () => number {
  let met = 0;
  failSteps((step) => {
    if (!isIt(step)) return undefined;
    met += 1;
    if (met === 1) act();
    return undefined;
  });
  return () => met;
}

/** A step of this call on a path that ends so. */
export function isStep(call: string, ending = '', when: FsStep['when'] = 'before') {
  return (step: FsStep): boolean =>
    step.call === call && step.when === when && step.path.endsWith(ending);
}

/** The path that a step is about, whatever descriptor it goes by. */
export function resolved({ path }: FsStep): string {
  return path.replace(/^\/proc\/self\/fd\/\d+/, (folder) => readlinkSync(folder));
}

function textOf(path: unknown): string {
  return Buffer.isBuffer(path) ? path.toString('latin1') : String(path);
}

function isAnswered(options: unknown): boolean {
  return (
    typeof options === 'object' &&
    options !== null &&
    'throwIfNoEntry' in options &&
    options.throwIfNoEntry === false
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
