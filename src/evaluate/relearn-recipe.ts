import { resolve } from 'node:path';
import { pathsByVerdict } from '../relearn/sources/source-arguments.ts';
import type { SourceArguments } from '../relearn/sources/source-arguments.ts';
import { STDIN } from '../relearn/sources/source.ts';
import { inShell } from '../text.ts';
import { VERDICTS, otherVerdict } from './two-classes.ts';
import type { Verdict } from './two-classes.ts';

/**
 * The path behind a place, as bytes; `undefined` where none of it alone leads to the message: in an
 * mbox, in standard input, or with a line break in its name.
 */
export function pathOf(place: string): Buffer | undefined {
  if (place === STDIN || place.includes('#') || place.includes('%0A')) return undefined;
  const raw = place.replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(raw, 'latin1');
}

/**
 * Commands that teach the messages of a list the other way, one for each class that is in it. Where
 * both are, the sources tell them apart.
 * @param list the file with a path in each line
 */
export function relearnCommands(
  list: string,
  sources: SourceArguments,
  byVerdict: Readonly<Record<Verdict, number>>,
): readonly string[] {
  const present = VERDICTS.filter((verdict) => byVerdict[verdict] > 0);
  const paths = pathsByVerdict(sources, VERDICTS);
  // Junk folders lie in the Maildir that is ham: what isn't spam is told by that.
  const isSpam = paths.spam.filter((path) => path !== STDIN).map((path) => `-e ${inShell(path)}`);
  return present.map((verdict) => {
    const file = inShell(resolve(list));
    const pick = verdict === 'spam' ? 'grep -F' : 'grep -vF';
    const lines = present.length === 1 ? `cat ${file}` : `${pick} ${isSpam.join(' ')} ${file}`;
    return `${lines} | sed 's/^/--${otherVerdict(verdict)}=/' | xargs -d '\\n' kopano-learnd relearn`;
  });
}
