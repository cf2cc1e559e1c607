/** The spam filters that can be taught. */
export const FILTERS = ['rspamd', 'spamassassin'] as const;
export type Filter = (typeof FILTERS)[number];

/** How they are called in sentences. */
export const FILTER_TITLES: Readonly<Record<Filter, string>> = {
  rspamd: 'rspamd',
  spamassassin: 'SpamAssassin',
};
