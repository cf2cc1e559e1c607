import type * as clocks from '../../src/clock.ts';
import type { Trainer } from '../../src/trainers/trainer.ts';

/**
 * What a daemon inside of this process gets instead of time and rspamd. A test file puts it in their
 * places with `vi.mock`:
 *
 *     vi.mock('../../../src/clock.ts', async (original) => clockInside(await original()));
 *     vi.mock('../../../src/trainers/rspamd.ts', () => trainersInside());
 */
export const inside: {
  clock?: clocks.Clock;
  /** The controller of this name, for the daemon that is being made. */
  trainerFor?: (name: string) => Trainer;
} = {};

export function clockInside(original: typeof clocks): typeof clocks {
  const clock = (): clocks.Clock => {
    if (inside.clock === undefined) throw new Error('there is no time');
    return inside.clock;
  };
  const systemClock: clocks.Clock = {
    monotonic: () => clock().monotonic(),
    wall: () => clock().wall(),
    after: (ms, callback) => clock().after(ms, callback),
  };
  return { ...original, systemClock };
}

export function trainersInside(): object {
  return {
    RspamdTrainer: function ({ controller }: { readonly controller: { readonly name: string } }) {
      return inside.trainerFor?.(controller.name);
    },
  };
}
