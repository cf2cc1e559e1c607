import { headerEnd } from './mail.ts';
import type { Dialect } from './separator.ts';

/**
 * Content-Length, by which some programs say how long a message of an mbox is, because they don't
 * quote its `From ` lines (mboxcl2). It is often wrong, so it is believed only where it leads exactly
 * to the next separator or to the end of the file.
 */
const CONTENT_LENGTH = /^content-length[ \t]*:[ \t]*(\d+)[ \t\r]*$/im;
const [LF, CR] = [10, 13];

/** What a header declares, in bytes. */
export function contentLength(header: string): number | undefined {
  const declared = CONTENT_LENGTH.exec(header)?.[1];
  return declared === undefined ? undefined : Number(declared);
}

/**
 * Where a message ends by its own word, from its beginning; 0 when it doesn't say.
 * @param head its header and the blank line after it, or more
 */
export function claimedEnd(head: Buffer): number {
  const end = headerEnd(head);
  const length = end === -1 ? undefined : contentLength(head.toString('latin1', 0, end));
  return length === undefined ? 0 : end + lineEndAt(head, end) + length;
}

/**
 * Where the search for the next separator goes on when a message ends at `end`; `undefined` when
 * there is neither one nor the end.
 */
export function afterClaim(
  content: Buffer,
  end: number,
  { judge, mark }: Dialect,
): number | undefined {
  const at = end + lineEndAt(content, end);
  if (at === content.length) return at;
  const isMark = content.subarray(at - 1, at - 1 + mark.length).equals(mark);
  // What comes after is there: it has been waited for.
  return isMark && judge(content, at - 1, true).kind === 'separator' ? at - 1 : undefined;
}

function lineEndAt(content: Buffer, at: number): number {
  if (content[at] === LF) return 1;
  return content[at] === CR && content[at + 1] === LF ? 2 : 0;
}
