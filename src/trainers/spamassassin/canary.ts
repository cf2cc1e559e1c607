import { misconfigured, unavailable } from './answers.ts';
import type { Blameless } from './answers.ts';

/**
 * The canary: a made message that is learned twice and forgotten twice. spamd says the same of a
 * message that it knows and of one that it couldn't learn, but it can't know the canary; so its four
 * answers tell whether this user's Bayes stores. It leaves nothing behind where that works.
 */

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

/** Whether each of the TELLs says that it did: Set, Set, Remove, Remove. */
export type CanaryAnswers = readonly [boolean, boolean, boolean, boolean];

/** `left over`: it was known before, and has been forgotten. */
export type Finding = 'works' | 'deaf' | 'forgetful' | 'left over' | 'unclear';

export function judgeCanary(answers: CanaryAnswers): Finding {
  const said = answers.map(Number).join('');
  if (said === '1010') return 'works';
  if (said === '0000') return 'deaf';
  if (said === '0010') return 'left over';
  // Journals and SQL that refuses writes look alike: what isn't stored isn't known the second time.
  // Whether it is forgotten then depends on the database (seen with SQLite: it isn't).
  return said.startsWith('11') ? 'forgetful' : 'unclear';
}

const SEE_LOG = "spamd's log says which";

/** What a canary that didn't work shows, with its cure. */
export function classifyFinding(
  finding: Exclude<Finding, 'works'>,
  user: string | undefined,
): Blameless {
  switch (finding) {
    case 'deaf':
      return misconfigured(
        `it learns nothing${user === undefined ? '' : ` for the user ${user}`}: Bayes can't be written, or is off`,
        user === undefined
          ? `set SPAMD_USER to the user whose Bayes the filter reads (amavis: amavis or vscan), because a spamd that runs as root learns nothing without it; or ${CANNOT_WRITE}`
          : CANNOT_WRITE,
      );
    case 'forgetful':
      return misconfigured(
        'it acknowledges what it learns, each time anew, and remembers nothing of it',
        MAKE_IT_REMEMBER,
      );
    case 'left over':
    case 'unclear':
      return unavailable(
        "its answers to a made message don't fit together: does something else learn or forget just now?",
        'answered',
      );
  }
}

/** What is to be done where it learns the same anew each time. */
export const MAKE_IT_REMEMBER =
  "set bayes_learn_to_journal 0 in SpamAssassin's local.cf, and reload spamd where there is one; where Bayes is in SQL (bayes_sql_dsn), let SpamAssassin write there: read_only of the server, the rights of bayes_sql_username, the permissions of SQLite's file, a full disk";

const CANNOT_WRITE = `let that user write the folder and the files of bayes_path (~/.spamassassin unless set; bayes_toks belongs to root after sa-learn ran as root: chown it back), mend the database behind it (Redis, SQL, disk full), and set use_bayes 1, use_learner 1 and bayes_learn_during_report 1; ${SEE_LOG}`;
