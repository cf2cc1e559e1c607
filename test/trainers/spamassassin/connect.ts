import type { Example, Outcome } from '../../../src/trainers/trainer.ts';
import { SpamdTrainer } from '../../../src/trainers/spamassassin/spamd.ts';
import type { SpamdTrainerOptions } from '../../../src/trainers/spamassassin/spamd.ts';
import type { Taught, TaughtMessage } from '../../../src/trainers/spamassassin/taught.ts';
import type { SpamdAddress } from '../../../src/spamd-address.ts';
import type { Verdict } from '../../../src/verdict.ts';

export const NEVER = new AbortController().signal;
/** Long enough for a busy machine: where nothing is to time out. */
export const PATIENCE_MS = 60_000;

export function addressAt(port: number, options: Partial<SpamdAddress> = {}): SpamdAddress {
  const tcp = { host: '127.0.0.1', port, tls: false, socketPath: undefined, program: undefined };
  return { name: `127.0.0.1:${port}`, ...tcp, ...options };
}

/** A trainer for the spamd at a loopback port. */
export function trainerAt(
  { port }: { readonly port: number },
  options: Partial<SpamdTrainerOptions> = {},
): SpamdTrainer {
  return new SpamdTrainer({
    address: addressAt(port),
    user: undefined,
    maxBytes: 10_000_000,
    timeoutMs: PATIENCE_MS,
    ...options,
  });
}

export function example(verdict: Verdict, body: Buffer | string, key = 'a.eml'): Example {
  return { verdict, key, body: Buffer.from(body) };
}

/** Learns and goes on until that isn't `learned` any more, as the delivery does. */
export async function prove(
  trainer: SpamdTrainer,
  message: Example,
  posts = 3,
): Promise<Outcome['kind'][]> {
  const kinds: Outcome['kind'][] = [];
  for (let post = 0; post < posts && (post === 0 || kinds.at(-1) === 'learned'); post += 1) {
    kinds.push((await trainer.learn(message, NEVER)).kind);
  }
  return kinds;
}

/** Taught messages in memory. */
export class TaughtInMemory implements Taught {
  readonly messages = new Map<string, TaughtMessage>();

  last(key: string): Promise<TaughtMessage | undefined> {
    return Promise.resolve(this.messages.get(key));
  }

  put(key: string, verdict: Verdict, body: Buffer): Promise<void> {
    this.messages.set(key, { verdict, body, stands: true });
    return Promise.resolve();
  }

  forgetting(): void {
    // Nobody is killed.
  }

  settle(): void {
    // Nor here.
  }
}
