import type { Outcome } from '../trainers/trainer.ts';
import type { Controller } from './controller.ts';
import type { Lanes } from './lanes.ts';
import { learnAndProve } from './proof.ts';
import type { PostOffice } from './post-office.ts';

/** Larger messages are not kept. */
export const WITNESS_BYTES = 262_144;

/**
 * Asks a controller for the message that it proved last. An answer 208 acquits it of a failure
 * without an answer: it is alive, so what crashed or hung was the message's doing.
 */
export async function acquits(
  controller: Controller,
  lanes: Lanes,
  office: PostOffice,
  pause: (ms: number) => Promise<void>,
  onReleased: (key: string) => void,
): Promise<boolean> {
  const { witness } = controller;
  // A newer verdict of the same message may be on its way; nothing may overtake it.
  if (witness === undefined || !lanes.areFree(witness.lanes)) return false;
  lanes.hold(witness.lanes);
  try {
    const { verdict, body, lanes: its } = witness;
    const post = (): Promise<Outcome> =>
      office.post({ controller, verdict, body, lanes: its, keepWitness: true });
    const result = await learnAndProve({ post, pause, most: 2 });
    // One that is counted anew at each question doesn't bear a second one.
    if (result.kind === 'proven' || result.kind === 'unproven') controller.witness = undefined;
    return result.kind === 'known' || result.kind === 'proven';
  } finally {
    lanes.release(witness.lanes);
    onReleased(witness.key);
  }
}
