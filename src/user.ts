import { partsOf } from './mail.ts';

/**
 * Whose memory learns a message, where the filter keeps one for each user: the address that a header
 * field names, or one address for all.
 */
export type FindUser = (message: Buffer) => string | undefined;

/** Of what rspamd takes in `Deliver-To`: an address in printable ASCII, without quotes. */
const ADDRESS = /^[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/i;
/** As much of a field as is looked at: each open quote or comment is looked for an end of. */
const LOOKED_AT = 4_096;
const FIELD_NAME = /^[!-9;-~]{1,100}$/;

export function isAddress(text: string): boolean {
  return ADDRESS.test(text);
}

/** Whether a header field may be called so (RFC 5322, 2.2). */
export function isFieldName(text: string): boolean {
  return FIELD_NAME.test(text);
}

/**
 * Looks for the fields in this order; the first valid address of the first field that has one counts.
 * A field that occurs several times counts where it stands first: that is the last delivery's.
 * @returns `undefined` where there is no field to look for
 */
export function userByFields(fields: readonly string[]): FindUser | undefined {
  if (fields.length === 0) return undefined;
  const patterns = fields.map((name) => {
    const literal = name.replace(/[^\w-]/g, String.raw`\$&`);
    return new RegExp(`^${literal}:((?:.*\\r?\\n[ \\t])*.*)$`, 'im');
  });
  return (message) => {
    const { headers } = partsOf(message);
    for (const pattern of patterns) {
      const address = firstAddress(pattern.exec(headers)?.[1] ?? '');
      if (address !== undefined) return address;
    }
    return undefined;
  };
}

/** Names in quotes and comments may hold anything, and addresses that are not meant. */
function firstAddress(value: string): string | undefined {
  const bare = value.slice(0, LOOKED_AT).replace(/"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)/gs, ' ');
  const inBrackets = [...bare.matchAll(/<([^<>]*)>/g)].map(([, address = '']) => address.trim());
  const words = inBrackets.length > 0 ? inBrackets : bare.split(/[\s,;]+/);
  return words.find(isAddress);
}
