/**
 * The package's settings file, `/etc/kopano-learnd.conf`: every setting of docs/configuration.md as a
 * comment, with what it means and what it is unless it is set.
 */
import { capital, tableRows } from '../manual.mjs';

/** What the table says in words, as a value. */
const VALUES = {
  none: '',
  "the system's": '',
  '$KOPANO_SPAMD_LIB/.learnd': '/var/lib/kopano/spamd/.learnd',
};

export async function settingsFile() {
  const settings = await tableRows('docs/configuration.md', 'Settings');
  const entries = settings.map(([name, fallback, meaning]) =>
    [...comment(capital(meaning)), `#${name}=${VALUES[fallback] ?? fallback}`].join('\n'),
  );
  return `# The settings of kopano-learnd, one NAME=VALUE a line; the value is taken as it stands, without
# quotes. What is commented out here is what counts unless it is set. Variables of the environment
# come before this file. A change counts after: systemctl restart kopano-learnd
#
# More about them: man kopano-learnd.conf

${entries.join('\n\n')}
`;
}

/** A sentence as lines of a comment. */
function comment(text) {
  const lines = [];
  let line = '#';
  for (const word of `${text.replace(/\.$/, '')}.`.split(' ')) {
    if (line.length + 1 + word.length > 98) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
