import type { Controller } from './controller.ts';
import type { PendingMessage } from './message.ts';

/**
 * Which answers have to be proven, and what was acknowledged without a proof so far. Only `relearn`,
 * which keeps its sources, has one; the daemon proves every message by itself.
 */
export interface ProofSampler {
  /**
   * Whether the message that was just answered 200 has to be proven.
   * @param bytes the size of its body
   * @param tookMs how long the answer took
   */
  wantsProof(controller: Controller, bytes: number, tookMs: number): boolean;
  /** Keeps an acknowledged message until a later one of the same controller is proven. */
  add(message: PendingMessage, controller: string): void;
  /** Takes out what the controller of a proven message had acknowledged before it. */
  commit(message: PendingMessage): PendingMessage[];
  /** Takes out all that the controller acknowledged and that isn't proven. */
  recall(controller: string): PendingMessage[];
}
