import { execFileSync } from 'node:child_process';
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { FINAL_RESULTS } from '../../../src/delivery/result.ts';

/**
 * The reader of the daemon's log, as runit's svlogd is one: at the other end of a pipe, and able to
 * fall behind. Keeps counts, not lines, of however many come.
 */
const ENDED = new Set(FINAL_RESULTS.map((ending) => `message.${ending}`));
const LONGEST_LINE = 4_096;

export class SoakLog {
  /** A FIFO, to be the daemon's standard output. */
  readonly path: string;
  /** Lines by event. */
  readonly events = new Map<string, number>();
  /** How often a message ended, by its file's name, and as what. */
  readonly endings = new Map<string, string[]>();
  /** Lines that no line of the log should be like. */
  readonly strange: string[] = [];
  readonly #pipe: Socket;

  constructor(path: string) {
    execFileSync('mkfifo', [path]);
    this.path = path;
    // Open for both, so that it neither waits for a writer nor ends with one.
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.#pipe = new Socket({ fd, readable: true, writable: false });
    createInterface({ input: this.#pipe }).on('line', (line) => this.#take(line));
  }

  count(event: string): number {
    return this.events.get(event) ?? 0;
  }

  /** Reads nothing until `resume`; the daemon writes on until the pipe is full. */
  pause(): void {
    this.#pipe.pause();
  }

  resume(): void {
    this.#pipe.resume();
  }

  close(): void {
    this.#pipe.destroy();
  }

  #take(line: string): void {
    let fields: Record<string, unknown> = {};
    try {
      fields = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.strange.push(line.slice(0, 200));
    }
    if (line.length > LONGEST_LINE) this.strange.push(line.slice(0, 200));
    const event = String(fields['event']);
    this.events.set(event, this.count(event) + 1);
    if (!ENDED.has(event)) return;
    const file = String(fields['file']);
    this.endings.set(file, [...(this.endings.get(file) ?? []), event.slice('message.'.length)]);
  }
}
