/** How a missing server is installed: the same as `scripts/setup` says. */

/** The servers that the lab starts. */
export type ServerProgram = 'rspamd' | 'redis-server';

const INSTALL_HINTS: Readonly<Record<ServerProgram, readonly (readonly [string, string])[]>> = {
  rspamd: [
    ['Debian', 'sudo apt-get install rspamd'],
    ['Alpine', 'apk add rspamd rspamd-controller rspamd-proxy rspamd-fuzzy'],
    ['Fedora', 'dnf install rspamd'],
  ],
  'redis-server': [
    ['Debian', 'sudo apt-get install redis-server'],
    ['Alpine', 'apk add redis'],
    ['Fedora', 'dnf install redis'],
  ],
};

/** How a server is installed, as [system, command line] for Debian, Alpine and Fedora. */
export function installHints(program: ServerProgram): readonly (readonly [string, string])[] {
  return INSTALL_HINTS[program];
}
