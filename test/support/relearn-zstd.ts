/**
 * Packed by the zstd program (1.5), so that no test needs it.
 */

export const MBOX =
  'From a@example.org Thu Jan  1 00:00:00 2026\n' +
  'From: a@example.org\nSubject: one\n\nThe first one.\n\n' +
  'From b@example.org Thu Jan  1 00:00:01 2026\n' +
  'From: b@example.org\nSubject: two\n\n' +
  'The second one, and one more line of it.\nAnd a third.\n\n';

export const ZSTD = {
  /** The mbox in one frame, without a checksum. */
  plain: unpacked(
    'KLUv/QBYDQQA4ocZG3Bp2wClwijyAUlh298q2EkBBqGgbUxF6d+HEYhndWPv+bUDPK994es25trsngfo8teyog0r' +
      'njLU8ejyX9NtubIEUZefnqIHlShgctwIBg50PCF0498kPMGSG5qPMgiXCxXkHTcSCQAs44NhgHLAcRgSSxVjq2od' +
      'VNJHwT0B',
  ),
  /** The same, with a checksum. */
  checksum: unpacked(
    'KLUv/QRYDQQA4ocZG3Bp2wClwijyAUlh298q2EkBBqGgbUxF6d+HEYhndWPv+bUDPK994es25trsngfo8teyog0r' +
      'njLU8ejyX9NtubIEUZefnqIHlShgctwIBg50PCF0498kPMGSG5qPMgiXCxXkHTcSCQAs44NhgHLAcRgSSxVjq2od' +
      'VNJHwT0B3MWXxw==',
  ),
  /** The same in two frames, cut in the middle of a message. */
  twoFrames: unpacked(
    'KLUv/QRYtQIA0oQRGJBZB0BbUZAFPPjJUNpIFfx2rcXxfNmaAXfXs5EvmUaM72OqG/lKFpu4SaiC3EuDhNIVQgf+' +
      '2IbPx340n1UW2JoV2iH3CgQAVDG2qtZBJX0U3BMqiOfLKLUv/QBYJQMAwsYWGoC5OQilXFGkHZIxclt5o1rg2ES1' +
      'ZBHc0Fn3iEc5tp6TlQ7wPObD+soY321zMuC6VrrLF/5KEJfxjN7yhNIYEOH2nFG01LhAMWrrCBhAEvGRKBNl+rA1' +
      'FdysJAEADIcSBQ==',
  ),
  /** The same in two frames, with a skippable one before, between and after them. */
  skippable: unpacked(
    'UypNGAUAAABub3Rlcyi1L/0EWLUCANKEERiQWQdAW1GQBTz4yVDaSBX8dq3F8XzZmgF317ORL5lGjO9jqhv5Shab' +
      'uEmogtxLg4TSFUIH/tiGz8d+NJ9VFtiaFdoh9woEAFQxtqrWQSV9FNwTKojny1MqTRgFAAAAbm90ZXMotS/9BFgl' +
      'AwDCxhYagLk5CKVcUaQdkjFyW3mjWuDYRLVkEdzQWfeIRzm2npOVDvA85sP6yhjfbXMy4LpWussX/koQl/GM3vKE' +
      '0hgQ4facUbTUuEAxausIGEAS8ZEoE2X6sDUV3KwkAQAMhxIFtXw3ylMqTRgFAAAAbm90ZXM=',
  ),
  /** One message of 8 MiB of the character 0. */
  zeros: unpacked(
    'KLUv/QRYdAEAVAJGcm9tOiBhQGV4YW1wbGUub3JnClN1YmplY3Q6IHplcm9zCgowAQDF/s/BEwIAEDACABAwAgAQ' +
      'MAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDAC' +
      'ABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQ' +
      'MAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDAC' +
      'ABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMAIAEDACABAwAgAQMDUAAAABAEsWIKaFl5g=',
  ),
  /** One message; its frame wants a window of 256 MiB. */
  window256: unpacked(
    'KLUv/QSQbAEARAJGcm9tOiBhQGV4YW1wbGUub3JnClN1YmplY3Q6IGxvbmcKCgABAMz+z8ETAgAQAAIAEAACABAA' +
      'Gz8JAPODi/E=',
  ),
  /** One message of several blocks: `LINES` lines of `Line N`. */
  blocks: unpacked(
    'KLUv/QRoXAIANANGcm9tOiBhQGV4YW1wbGUub3JnClN1YmplY3Q6IGxhcmdlCgpMaW5lIDAxMjM0NTY3ODkKILAT' +
      '65T/SRZ8BxsyzmBDxtVg0kD0RAAAAAEA/f9JHoBEAAAAAQD9/zkAAj0AAAABAMHoDoAkZUQu',
  ),
} as const;

export const LINES = 60_000;

function unpacked(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}
