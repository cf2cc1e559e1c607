/**
 * A message without what came along with the line that stood before it.
 * @param banner that line, which is no part of `body`; empty where there was none
 */
export function bannered(body: Buffer, banner: string): Buffer {
  if (/^\d+$/.test(banner)) return ofAppleMail(body, Number(banner));
  return banner.startsWith('+OK') ? ofPop3(body) : body;
}

/** `.emlx`: so many bytes of message, and then a property list of Apple Mail's. */
function ofAppleMail(body: Buffer, bytes: number): Buffer {
  const trailer = body.toString('latin1', bytes, bytes + 100).trim();
  return /^(?:<\?xml|<!DOCTYPE plist|<plist|$)/.test(trailer) ? body.subarray(0, bytes) : body;
}

/** As RFC 1939 sends it: a dot ends it, and lines that begin with one have another before it. */
function ofPop3(body: Buffer): Buffer {
  const text = body.toString('latin1').replace(/(?<=\n)\.(?:\r?\n)?$/, '');
  return Buffer.from(text.replace(/^\.\./gm, '.'), 'latin1');
}
