import type { TaughtMessages } from '../spool/taught.ts';
import type { Taught, TaughtMessage } from '../trainers/spamassassin/taught.ts';
import type { Verdict } from '../verdict.ts';

/** What was taught, for trainers that outlive a session; between two sessions nothing is known. */
export class SessionTaught implements Taught {
  messages: TaughtMessages | undefined;

  last(key: string): Promise<TaughtMessage | undefined> {
    return this.messages?.last(key) ?? Promise.resolve(undefined);
  }

  put(key: string, verdict: Verdict, body: Buffer): Promise<void> {
    return this.messages?.put(key, verdict, body) ?? Promise.resolve();
  }

  forgetting(key: string): void {
    this.messages?.forgetting(key);
  }

  settle(key: string): void {
    this.messages?.settle(key);
  }
}
