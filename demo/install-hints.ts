/** How a missing server is installed: the same as `scripts/setup` says. */
export const INSTALL_HINTS = {
  rspamd: {
    Debian: 'sudo apt-get install rspamd',
    Alpine: 'apk add rspamd rspamd-controller rspamd-proxy rspamd-fuzzy',
    Fedora: 'dnf install rspamd',
  },
  'redis-server': {
    Debian: 'sudo apt-get install redis-server',
    Alpine: 'apk add redis',
    Fedora: 'dnf install redis',
  },
} as const;
