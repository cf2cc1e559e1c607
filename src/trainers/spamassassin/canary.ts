import { randomUUID } from 'node:crypto';
import { presentableOutcome } from '../reason.ts';
import { blameless, misconfigured, unavailable } from './answers.ts';
import type { Blameless, Failure } from './answers.ts';

/**
 * The canary: a made message that is learned twice and forgotten twice. spamd says the same of a
 * message that it knows and of one that it couldn't learn, but it can't know the canary; so its four
 * answers tell whether this user's Bayes stores. It leaves nothing behind where that works.
 */

/** Whether SpamAssassin can learn at all. */
export type Diagnosis = Blameless | { readonly kind: 'works' };

/** The canary of every first try. What a crash left of it the next try takes away. */
export const FIRST_CANARY = '0';

/**
 * Identity is To, Date and the body, of which the id is a part. No file of a user has such an address
 * (RFC 2606).
 */
export function canaryMessage(id: string): Buffer {
  const lines = [
    'From: canary@learnd.invalid',
    'To: canary@learnd.invalid',
    'Subject: canary',
    'Date: Mon, 01 Jan 2024 00:00:00 +0000',
    `Message-ID: <${id}@learnd.invalid>`,
    '',
    `kopano-learnd canary ${id}`,
    '',
  ];
  return Buffer.from(lines.join('\n'));
}

/** `left over`: it was known before, and has been forgotten. */
type Finding = 'works' | 'deaf' | 'forgetful' | 'left over' | 'unclear';

/** @param answers whether it says each time that it did: learned, learned, forgot, forgot */
export function judgeCanary(answers: readonly boolean[]): Finding {
  const said = answers.map(Number).join('');
  if (said === '1010') return 'works';
  if (said === '0000') return 'deaf';
  if (said === '0010') return 'left over';
  // Journals and SQL that refuses writes look alike: what isn't stored isn't known the second time.
  // Whether it is forgotten then depends on the database (seen with SQLite: it isn't).
  return said.startsWith('11') ? 'forgetful' : 'unclear';
}

/**
 * Finds out whether SpamAssassin can learn.
 * @param tell has a canary learned twice and forgotten twice, and says what `judgeCanary` asks for
 * @param deaf what it means that nothing was learned or forgotten
 */
export async function tryCanaries(
  tell: (canary: Buffer) => Promise<readonly boolean[] | Failure>,
  deaf: Blameless = UNCLEAR,
): Promise<Diagnosis> {
  let finding: Finding = 'left over';
  // Whatever the first one shows may be a crash's, or another process's with the same canary.
  for (const id of [FIRST_CANARY, FIRST_CANARY, randomUUID()]) {
    // What a crash left is gone now. Nobody would take away what one left of the last canary.
    if (id === FIRST_CANARY && finding !== 'left over') continue;
    const answers = await tell(canaryMessage(id));
    if ('kind' in answers) return blameless(answers);
    finding = judgeCanary(answers);
    if (finding === 'works') return { kind: 'works' };
  }
  if (finding === 'forgetful') return FORGETFUL;
  return finding === 'deaf' ? deaf : UNCLEAR;
}

/** A diagnosis that several who ask for it at the same time share. */
export class SharedDiagnosis {
  readonly #diagnose: (signal: AbortSignal) => Promise<Diagnosis>;
  #underWay: Promise<Diagnosis> | undefined;

  constructor(diagnose: (signal: AbortSignal) => Promise<Diagnosis>) {
    this.#diagnose = diagnose;
  }

  async ask(signal: AbortSignal): Promise<Diagnosis> {
    this.#underWay ??= this.#diagnose(signal).finally(() => (this.#underWay = undefined));
    const diagnosis = await this.#underWay;
    // Who began it gave up; we didn't.
    if (diagnosis.kind === 'aborted' && !signal.aborted) return this.ask(signal);
    return presentableOutcome(diagnosis);
  }
}

/** What is to be done where it learns the same anew each time. */
export const MAKE_IT_REMEMBER =
  "set bayes_learn_to_journal 0 in SpamAssassin's local.cf, and reload spamd where there is one; where Bayes is in SQL (bayes_sql_dsn), let SpamAssassin write there: read_only of the server, the rights of bayes_sql_username, the permissions of SQLite's file, a full disk";

const FORGETFUL = misconfigured(
  'it acknowledges what it learns, each time anew, and remembers nothing of it',
  MAKE_IT_REMEMBER,
);
const UNCLEAR = unavailable(
  "its answers to a made message don't fit together: does something else learn or forget just now?",
  'answered',
);
