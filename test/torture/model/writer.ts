import type { Verdict } from '../../../src/verdict.ts';
import { real } from './machine.ts';
import type { Process } from './machine.ts';
import type { Message, WrittenFiles } from './files.ts';
import type { Timeline } from './time.ts';

/**
 * kopano-spamd, step by step: unlink the other folder's file, open under the final name, write,
 * close, chown, chmod 0660. Time may pass between any two steps, and it may stop at any of them for
 * good. What it writes gets the model's time as its mtime.
 */
interface WriteOrder {
  readonly message: Message;
  /** Pieces of the body. */
  readonly pieces: number;
  /** Waits before each step, in milliseconds; what is missing is 0. */
  readonly pauses: readonly number[];
  /** The writer goes away before this step. */
  readonly steps: number;
  /** Added to the file's mtime, in milliseconds. */
  readonly skew: number;
}

interface WriterOptions {
  readonly lib: string;
  readonly timeline: Timeline<Process>;
  readonly files: WrittenFiles;
  /** Something happened to this file, or to the folder. */
  readonly ring: (verdict: Verdict, name: string) => void;
  /** The writer removed a file that nobody had taken. */
  readonly trace: (line: string) => void;
}

const MARK = 0o660;

export class Writer {
  readonly #options: WriterOptions;
  /** Keys in the hands of a writer, and what comes after. */
  readonly #busy = new Map<string, WriteOrder[]>();
  /** Keys that kopano-spamd doesn't remember: their file was gone at its chmod. */
  readonly #forgotten = new Map<string, Verdict>();
  #written = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#busy.size === 0;
  }

  /** Begins; a second order of the same file waits until the first is done. */
  write(order: WriteOrder): void {
    const { key, verdict } = order.message;
    const id = `${verdict}/${key}`;
    const waiting = this.#busy.get(id);
    if (waiting !== undefined) {
      waiting.push(order);
      return;
    }
    const forgotten = this.#forgotten.get(key);
    if (forgotten !== undefined && forgotten !== verdict) {
      order.message.fate = 'never exported';
      return;
    }
    this.#busy.set(id, []);
    this.#go(order, this.#steps(order), 0);
  }

  /** Takes one step after the other, each after its pause, until it goes away or is done. */
  #go(order: WriteOrder, steps: Generator<undefined, void>, step: number): void {
    if (step >= order.steps) {
      steps.return();
      this.#done(order);
      return;
    }
    this.#options.timeline.after(order.pauses[step] ?? 0, () => {
      if (this.#take(order, steps, step)) this.#done(order);
      else this.#go(order, steps, step + 1);
    });
  }

  /** @returns whether that was the last step */
  #take({ message }: WriteOrder, steps: Generator<undefined, void>, step: number): boolean {
    try {
      return steps.next().done === true;
    } catch (error) {
      // The folder is missing: kopano-spamd logs that, and that was it.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      this.#options.trace(`the writer of ${message.name} met ENOENT at step ${step}`);
      message.fate ??= 'never written';
      return true;
    }
  }

  /** What kopano-spamd does; time passes, or it goes away, wherever this yields. */
  *#steps({ message, pieces, skew }: WriteOrder): Generator<undefined, void> {
    const { lib, files, timeline, ring, trace } = this.#options;
    const { verdict, key } = message;
    const path = `${lib}/${verdict}/${key}`;
    this.#unlink(verdict === 'spam' ? 'ham' : 'spam', key);
    yield;
    const fd = real.openSync(path, 'w');
    try {
      const { ino, mode } = real.fstatSync(fd);
      this.#stamp(fd, skew);
      trace(`opened ${message.name}`);
      ring(verdict, key);
      const file = files.opened(ino, message, (mode & 0o7777) === MARK, timeline.now);
      yield;
      for (let index = 0; index < pieces; index += 1) {
        const piece = pieceOf(message.text, index, pieces);
        real.writeSync(fd, piece);
        this.#stamp(fd, skew);
        files.grew(file, piece.length, timeline.now);
        trace(`wrote ${message.name} up to ${file.length} of ${message.text.length}`);
        ring(verdict, key);
        yield;
      }
    } finally {
      real.closeSync(fd);
    }
    for (const step of ['chown', 'chmod'] as const) {
      yield;
      const there = files.fileAt(path);
      if (there === undefined) {
        trace(`${message.name} was gone at its chmod`);
        this.#forgotten.set(key, verdict);
        return;
      }
      if (step === 'chown') {
        real.chownSync(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
        files.changed(there, timeline.now);
      } else {
        real.chmodSync(path, MARK);
        files.marked(there, timeline.now);
        this.#forgotten.delete(key);
        trace(`marked ${there.message.name}`);
      }
      ring(verdict, key);
    }
  }

  #unlink(verdict: Verdict, key: string): void {
    const { lib, files, ring, trace } = this.#options;
    const path = `${lib}/${verdict}/${key}`;
    const file = files.fileAt(path);
    if (file === undefined) return;
    real.unlinkSync(path);
    file.message.fate ??= 'unlinked by its writer';
    trace(`unlinked ${file.message.name}`);
    ring(verdict, key);
  }

  #done({ message: { verdict, key } }: WriteOrder): void {
    const id = `${verdict}/${key}`;
    const [next, ...rest] = this.#busy.get(id) ?? [];
    this.#busy.delete(id);
    if (next === undefined) return;
    this.write(next);
    for (const order of rest) this.write(order);
  }

  #stamp(fd: number, skew: number): void {
    const mtime = this.#time(skew);
    real.futimesSync(fd, mtime, mtime);
  }

  /** Never the same twice: the kernel's clock would stand still while the model's flows. */
  #time(skew: number): number {
    this.#written += 1;
    return (this.#options.timeline.wall + skew) / 1_000 + this.#written / 1_000_000;
  }
}

/** The first piece names the message. */
function pieceOf(text: string, index: number, pieces: number): string {
  const first = 40;
  if (pieces === 1) return text;
  if (index === 0) return text.slice(0, first);
  const size = Math.ceil((text.length - first) / (pieces - 1));
  return text.slice(first + (index - 1) * size, first + index * size);
}
