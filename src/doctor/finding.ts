import { clean, tableRow } from '../text.ts';

/** What one check came to: one line of `kopano-learnd doctor`. */
export interface Finding {
  /**
   * `warning`: it works, but not as well or as safely as it could. `not tried`: it can't be known
   * from here, or makes no sense before something else is mended.
   */
  readonly state: 'ok' | 'warning' | 'failed' | 'not tried';
  /** What was looked at, in a word or two. */
  readonly check: string;
  /** What was found, as a sentence without a full stop. */
  readonly says: string;
  /** What the operator has to change. */
  readonly cure?: string;
}

export function ok(check: string, says: string): Finding {
  return { state: 'ok', check, says };
}

export function warning(check: string, says: string, cure: string): Finding {
  return { state: 'warning', check, says, cure };
}

export function failed(check: string, says: string, cure: string): Finding {
  return { state: 'failed', check, says, cure };
}

export function notTried(check: string, says: string): Finding {
  return { state: 'not tried', check, says };
}

export function lineOf({ state, check, says, cure }: Finding): string {
  const text = cure === undefined ? says : `${says}. Cure: ${cure}`;
  return `${clean(tableRow([state, check, text], [9, 11]), 2_000)}\n`;
}
