import { SpamdClient } from '../../../src/trainers/spamassassin/tell.ts';
import type { Telling } from '../../../src/trainers/spamassassin/tell.ts';
import type { PrivateSpamd } from '../../lab/private-spamd.ts';
import { VERDICTS } from '../../../src/verdict.ts';
import type { Judged } from '../users.ts';
import { messageOf } from '../users.ts';

/** A slower answer without `DidSet` may be a lock that is held. */
const QUICK_MS = 5_000;
const NEVER = new AbortController().signal;

/**
 * What SpamAssassin remembers otherwise than it was last judged, by its counters and by each message: it
 * must be known with its last bytes in its last class, can be forgotten, and then nothing is left.
 */
export async function wrongInSpamd(
  spamd: PrivateSpamd,
  all: readonly Judged[],
): Promise<readonly string[]> {
  const wrong: string[] = [];
  const [spam, ham] = VERDICTS.map((each) => all.filter(({ verdict }) => verdict === each).length);
  const counts = await spamd.counts();
  if (counts.spam !== spam || counts.ham !== ham) {
    wrong.push(`SpamAssassin counts ${counts.spam} and ${counts.ham}, not ${spam} and ${ham}`);
  }
  for (const judged of all) {
    const { name, raw: body } = messageOf(judged);
    const { verdict } = judged;
    // Of a message that it knows, and of one that it can't learn, it says the same.
    if (await did(spamd, { set: 'local', verdict, body })) wrong.push(`${name} was not ${verdict}`);
    else if (!(await did(spamd, { remove: 'local', body }))) wrong.push(`${name} is not known`);
  }
  const left = await spamd.counts();
  if (left.spam + left.ham > 0) {
    wrong.push(`SpamAssassin counts ${left.spam} and ${left.ham} of nothing that it was told`);
  }
  return wrong;
}

/** Whether spamd says that it learned or forgot. */
async function did(spamd: PrivateSpamd, telling: Telling): Promise<boolean> {
  const address = { name: 'spamd', host: '127.0.0.1', port: spamd.port, tls: false };
  const client = new SpamdClient({ address, user: undefined, timeoutMs: 30_000 });
  const startedAt = performance.now();
  const result = await client.tell(telling, NEVER);
  const isQuick = performance.now() - startedAt <= QUICK_MS;
  if (result.kind !== 'answer' || result.code !== 0 || !isQuick) {
    throw new Error(`spamd said ${JSON.stringify(result)}`);
  }
  return result.did;
}
