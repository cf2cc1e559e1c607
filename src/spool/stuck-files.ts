import type { BigIntStats } from 'node:fs';
import type { Log } from '../logger.ts';
import { clean } from '../text.ts';
import type { Verdict } from '../verdict.ts';
import { SweepMap } from './gate.ts';
import { idOf } from './message.ts';
import { octal } from './state-dir.ts';

/** Why a file stays in the drop directory. */
export type StuckReason = keyof typeof SAYS;

const SAYS = {
  irregular: 'not a regular file; it is left alone',
  empty: 'empty for ten minutes; it stays until its writer writes or removes it',
  unreadable:
    "can't be read for ten minutes; give the daemon's user the file's group, or set sa_group in kopano-spamd's configuration to a group that it has",
  'over-size':
    'larger than LEARN_MAX_BYTES and on another file system than the state dir; raise LEARN_MAX_BYTES or remove it',
  immovable:
    "can't be moved out of its folder: immutable, a mount point, or another user's in a folder with the sticky bit",
  unfit:
    'half-way between two file systems, but no regular file of allowed size; remove it by hand',
} as const;

const KNOWN_AT_MOST = 1_000;

/** The files that stay in the drop directory: each is said once, until a sweep comes upon it no more. */
export class StuckFiles {
  readonly #log: Log;
  readonly #known = new SweepMap<true>(KNOWN_AT_MOST);

  constructor(log: Log) {
    this.#log = log;
  }

  isKnown(verdict: Verdict, rawName: string, reason: StuckReason): boolean {
    return this.#known.get(nameOf(verdict, rawName, reason)) !== undefined;
  }

  /** Says it of a file for which it is new. */
  note(verdict: Verdict, rawName: string, reason: StuckReason, stats?: BigIntStats): void {
    const isKnown = this.isKnown(verdict, rawName, reason);
    const isRemembered = this.#known.set(nameOf(verdict, rawName, reason), true);
    if (isKnown || !isRemembered) return;
    const file = { verdict, file: clean(rawName) };
    if (reason === 'irregular') {
      this.#log('warning', 'spool.ignored', SAYS.irregular, file);
      return;
    }
    this.#log('warning', 'spool.stuck', SAYS[reason], { ...file, reason, ...ownerOf(stats) });
  }

  /** To be called after a sweep that saw every file. */
  endSweep(): void {
    this.#known.endSweep();
  }
}

function ownerOf(stats: BigIntStats | undefined): Record<string, string | number> {
  if (stats === undefined) return {};
  return { uid: Number(stats.uid), gid: Number(stats.gid), mode: octal(stats.mode) };
}

function nameOf(verdict: Verdict, rawName: string, reason: StuckReason): string {
  return `${idOf(verdict, rawName)} ${reason}`;
}
