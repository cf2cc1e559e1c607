import type { Daemon } from '../lab/daemon.ts';

/** When each message was learned; the filter knows what one that died had learned and not said. */
export function learnedAt(daemon: Daemon): number[] {
  return ['message.learned', 'message.duplicate']
    .flatMap((event) => daemon.logged(event))
    .map(({ time }) => Date.parse(String(time)))
    .sort((a, b) => a - b);
}

/** The longest time in which nothing was learned, in milliseconds. */
export function longestStandstill(daemon: Daemon): number {
  const times = learnedAt(daemon);
  return Math.max(...times.slice(1).map((time, at) => time - (times[at] ?? time)));
}
