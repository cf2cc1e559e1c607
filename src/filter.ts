/** The spam filters that can be taught. */
export const FILTERS = ['rspamd', 'spamassassin'] as const;
export type Filter = (typeof FILTERS)[number];

/** How they are called in sentences. */
export const FILTER_TITLES: Readonly<Record<Filter, string>> = {
  rspamd: 'rspamd',
  spamassassin: 'SpamAssassin',
};

/** The settings that say which they are, where they are, and how they are spoken to. */
export const FILTER_SETTINGS: Readonly<Record<Filter, RegExp>> = {
  rspamd: /^(LEARN_TRAINERS|RSPAMD_(URL|CA_FILE|PASSWORD|PASSWORD_FILE))$/,
  spamassassin: /^(LEARN_TRAINERS|SPAMD_(URL|CA_FILE|USER))$/,
};

/** Something of each filter. */
export function perFilter<Value>(
  valueOf: (filter: Filter) => Value,
): Readonly<Record<Filter, Value>> {
  const entries = FILTERS.map((filter) => [filter, valueOf(filter)] as const);
  return Object.fromEntries(entries) as Record<Filter, Value>;
}
