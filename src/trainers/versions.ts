/** What is known to be wrong with some versions of rspamd that changes what their answers mean. */
export interface VersionFault {
  /** What it does, after the version's name: "rspamd 3.8.1 ...". */
  readonly does: string;
  readonly cure: string;
}

/**
 * rspamd 3.8.0 to 3.8.4 keep the class that a message was learned in first
 * (`bayes_cache_learn.lua`): a turned verdict is answered 200 for ever, and each post counts it once
 * more in its new class and takes it once more from the old one (rspamd/rspamd issue 4928; mended in
 * 3.9). 3.8.1 is what Ubuntu 24.04 and 26.04 have.
 *
 * @param version as the `Server` header and `/stat` show it: `3.8.1`
 */
export function faultOfVersion(version: string | undefined): VersionFault | undefined {
  if (version === undefined || !/^3\.8\.[0-4](?![0-9])/.test(version)) return undefined;
  return {
    does: `rspamd ${version} counts a turned verdict anew at each post and never recognises it, so that it can't be proven`,
    cure: 'update rspamd to 3.9 or later, where this is mended',
  };
}
