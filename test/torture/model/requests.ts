import type { Verdict } from '../../../src/verdict.ts';
import type { Outcome } from '../../../src/trainers/trainer.ts';
import type { Found } from './files.ts';
import type { Process } from './machine.ts';

/** What the model's controllers can be like, what they are sent, and what they remember. */

export const MODES = [
  'up',
  /** No process: what it had been sent is gone with it. */
  'refused',
  /** No way to it. */
  'unreachable',
  /** Takes connections and does nothing, ever: SIGTERMed. */
  'silent',
  /** Takes connections, and does all of it when it goes on: SIGSTOPped. */
  'frozen',
  /** Closes each connection without an answer; what came is done or not. */
  'closing',
  /** An unknown 5xx; what came is done or not. */
  'erring',
  /** Redis can be read and not be written, and it says so. */
  'no-redis',
  /** Redis is away, and it says 200. */
  'unproven',
  /** Redis is full, and it says 200 to new messages and 208 to known ones. */
  'full',
  /** The password is wrong. */
  'forbidden',
] as const;

export type Mode = (typeof MODES)[number];

/** One post. */
export interface Request {
  readonly process: Process;
  readonly controller: string;
  readonly verdict: Verdict;
  readonly found: Found;
  readonly sentAt: number;
  /** No other post of its process was under way there at any moment of it. */
  wasAlone: boolean;
  outcome: Outcome | undefined;
  endedAt: number | undefined;
}

/** Who watches what is sent, done and answered. */
export interface PostWatcher {
  sent(request: Request): void;
  /** The verdict gets into the memory. */
  stored(request: Request): void;
  answered(request: Request): void;
  /** A daemon wants to know what time it is. */
  asked(): void;
}

interface Memory {
  verdict: Verdict;
  /** Controllers that recognise it. */
  readonly by: Set<string>;
}

/** What all controllers share. */
export class Redis {
  readonly messages = new Map<string, Memory>();
}

/** Half a message is another one. */
export function tokensOf({ message, length, isWhole }: Found): string {
  return isWhole ? message.tokens : `${message.tokens} up to ${length}`;
}
