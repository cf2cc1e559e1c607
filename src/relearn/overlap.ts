import { realpathSync, statSync } from 'node:fs';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { isPassedOver } from './sources/folder-use.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { clean } from '../text.ts';

/**
 * Sources that overlap would teach a message twice, or, as spam and as ham, one after the other
 * whichever way chance has it: they are refused before anything is posted. A folder that the other
 * source passes over may be named besides: `--ham Maildir --spam Maildir/.Junk`.
 * @throws {OperatorError} `usage.overlap`, naming both
 */
export function refuseOverlap(sources: Readonly<Record<Verdict, readonly string[]>>): void {
  const named = VERDICTS.flatMap((verdict) =>
    sources[verdict]
      .filter((path) => path !== '-')
      .map((path) => ({ path, verdict, real: realPath(path) })),
  );
  for (const [index, inner] of named.entries()) {
    for (const [other, outer] of named.entries()) {
      if (index === other) continue;
      const isSame = inner.real === outer.real;
      if (isSame ? index < other : !isReadIn(inner.real, outer)) continue;
      const [first, second] = [clean(inner.path, 1_000), clean(outer.path, 1_000)];
      throw new OperatorError({
        code: 'usage.overlap',
        message: isSame
          ? `${first} is named as ${outer.verdict} and as ${inner.verdict}`
          : `${first} (${inner.verdict}) lies in ${second} (${outer.verdict})`,
        hint: 'name each message once: folders that hold none of the others, such as cur and new of a Maildir for what lies beside its subfolders',
        exitCode: EXIT.usage,
      });
    }
  }
}

function isReadIn(inner: string, { real, verdict }: { real: string; verdict: Verdict }): boolean {
  if (!inner.startsWith(`${real}/`)) return false;
  const below = Buffer.from(inner.slice(real.length + 1)).toString('latin1');
  return !isPassedOver(below, isFolder(inner), verdict);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return path; // reading it says what is wrong
  }
}
