import { clean } from '../../text.ts';
import { SpamdClient } from './tell.ts';
import type { SpamdClientOptions } from './tell.ts';

/**
 * Reports to the networks that SpamAssassin is set up for (Razor, Pyzor, SpamCop): what users call spam,
 * and what they take back. Each message once, after its proof; whatever comes of it is logged and acted
 * upon by nobody. One at a time and beside the learning: spamd needs up to 90 s for one when a network
 * doesn't answer, and occupies a child for it.
 */
export interface Report {
  readonly key: string;
  readonly kind: 'spam' | 'revoke';
  readonly body: Buffer;
}

export interface ReportResult {
  readonly key: string;
  readonly kind: Report['kind'];
  /** At least one network took it, says spamd. */
  readonly taken: boolean;
  /** Why not, cleaned. */
  readonly reason: string | undefined;
}

export interface ReportsOptions extends Omit<SpamdClientOptions, 'timeoutMs'> {
  readonly onResult: (result: ReportResult) => void;
  /** Gives up what is under way, and what waits. */
  readonly stop: AbortSignal;
}

const PATIENCE_MS = 100_000;
/** What waits is held in memory. */
const MOST_WAITING = 200;
const MOST_BYTES = 16 * 1024 * 1024;

export class Reports {
  readonly #options: ReportsOptions;
  readonly #client: SpamdClient;
  #waiting = 0;
  #bytes = 0;
  /** Resolves when all that were added are over. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#client = new SpamdClient({ ...options, timeoutMs: PATIENCE_MS });
  }

  /** Reports a message when it is its turn; where too much waits it is left out. */
  add(report: Report): void {
    const { key, kind, body } = report;
    const { stop, onResult } = this.#options;
    if (this.#waiting >= MOST_WAITING || this.#bytes + body.length > MOST_BYTES) {
      onResult({ key, kind, taken: false, reason: 'too many reports wait' });
      return;
    }
    this.#waiting += 1;
    this.#bytes += body.length;
    this.#last = this.#last.then(async () => {
      this.#waiting -= 1;
      this.#bytes -= body.length;
      if (!stop.aborted) onResult(await this.#report(report));
    });
  }

  async #report({ key, kind, body }: Report): Promise<ReportResult> {
    const telling =
      kind === 'spam'
        ? ({ set: 'remote', verdict: 'spam', body } as const)
        : ({ remove: 'remote', body } as const);
    const result = await this.#client.tell(telling, this.#options.stop);
    if (result.kind === 'fault') {
      return { key, kind, taken: false, reason: `no answer (${result.code})` };
    }
    const said = result.code === 0 ? 'no network took it' : `${result.code} ${result.text}`;
    return { key, kind, taken: result.did, reason: result.did ? undefined : clean(said, 200) };
  }
}
