import { resolve } from 'node:path';
import { pathsByVerdict } from '../relearn/sources/source-arguments.ts';
import type { SortedSources } from '../relearn/sources/source-arguments.ts';
import { STDIN } from '../relearn/sources/source.ts';
import { inShell } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import type { BaseVerdict } from '../verdict.ts';
import { otherVerdict } from './collection.ts';
import type { Collection, Message, Note } from './collection.ts';

/** The paths of some messages, one a line, and how many there are of each class. */
interface PathList {
  readonly content: Buffer;
  readonly byVerdict: Readonly<Record<BaseVerdict, number>>;
}

export function pathList(collection: Collection, messages: readonly Message[]): PathList {
  const byVerdict = { spam: 0, ham: 0 };
  const lines: Buffer[] = [];
  for (const message of messages) {
    const path = pathOf(collection.note(message));
    if (path === undefined) continue;
    byVerdict[collection.verdict(message)] += 1;
    lines.push(path, LINE_END);
  }
  return { content: Buffer.concat(lines), byVerdict };
}

const LINE_END = Buffer.from('\n');

/**
 * The path of a message, as bytes; `undefined` where none leads to it alone: in an mbox, in standard
 * input, or with a line break in its name.
 */
function pathOf({ place, isAlone }: Note): Buffer | undefined {
  if (!isAlone || place === STDIN || place.includes('%0A')) return undefined;
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
  sources: SortedSources,
  byVerdict: PathList['byVerdict'],
): readonly string[] {
  const present = VERDICTS.filter((verdict) => byVerdict[verdict] > 0);
  const paths = pathsByVerdict(sources);
  // Junk folders lie in the Maildir that is ham: what isn't spam is told by that.
  const isSpam = paths.spam.filter((path) => path !== STDIN).map((path) => `-e ${below(path)}`);
  return present.map((verdict) => {
    const file = inShell(resolve(list));
    // Names are bytes, and grep shows none of a list that is no text in the user's language.
    const pick = `LC_ALL=C grep -E${verdict === 'spam' ? '' : 'v'} ${isSpam.join(' ')}`;
    const lines = present.length === 1 ? `cat ${file}` : `${pick} ${file}`;
    return `${lines} | sed 's/^/--${otherVerdict(verdict)}=/' | xargs -d '\\n' kopano-learnd relearn`;
  });
}

/** Finds a source itself and what lies in it, and not what lies beside it under a longer name. */
function below(path: string): string {
  return inShell(`^${path.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&')}(/|$)`);
}
