/**
 * What becomes of a message: the one vocabulary of log, metrics, journal and summary. A message that
 * is `deferred` stays where it is; every other result is its last.
 */
export type Result =
  /** Without a proof, `reason` says why the message is let go. */
  | { readonly kind: 'learned'; readonly proven: true }
  | { readonly kind: 'learned'; readonly proven: false; readonly reason: string }
  /** rspamd remembers it from before. */
  | { readonly kind: 'duplicate' }
  /** rspamd finds nothing to learn in it. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** rspamd can't take it; it is set aside. */
  | { readonly kind: 'quarantined'; readonly reason: string }
  /** A newer verdict took its place. */
  | { readonly kind: 'superseded' }
  /** Its file is gone. */
  | { readonly kind: 'withdrawn' }
  /** It is tried again later. */
  | { readonly kind: 'deferred'; readonly reason: string };

/** A result that the file has to be moved for. */
export type Disposition = Extract<
  Result,
  { readonly kind: 'learned' | 'duplicate' | 'refused' | 'quarantined' }
>;

export const FINAL_RESULTS = [
  'learned',
  'duplicate',
  'refused',
  'quarantined',
  'superseded',
  'withdrawn',
] as const;

export type FinalResult = (typeof FINAL_RESULTS)[number];

export function quarantined(reason: string): Disposition {
  return { kind: 'quarantined', reason };
}
