import { connectionFaults } from '../connection-faults.ts';
import type { ConnectionFault } from '../connection-faults.ts';
import type { Outcome } from '../trainer.ts';
import type { TellAnswer, TellFault, TellResult } from './tell.ts';

/**
 * The table of what spamd answers beside `0 EX_OK`, and of connections that come to nothing, which log
 * and doctor share: what that means for a message, and the cure. Seen on spamd 4.0.1 and 4.0.3.
 */

export type Failure = Extract<
  Outcome,
  { readonly kind: 'deferred' | 'unavailable' | 'misconfigured' | 'aborted' }
>;

/** A failure that the message had no part in. */
export type Blameless = Exclude<Failure, { readonly kind: 'deferred' }>;

interface AnswerRow {
  /** Held against code and words, as in `69 Service Unavailable: ...`. */
  readonly says: RegExp;
  readonly means: (said: string) => Failure;
}

const ANSWERS: readonly AnswerRow[] = [
  {
    says: /^69 .*TELL commands are not enabled/,
    means: () =>
      misconfigured(
        'spamd does not learn by TELL',
        'start spamd with --allow-tell (Debian: OPTIONS in /etc/default/spamd, /etc/default/spamassassin before Debian 12) and with --allowed-ips that name this host alone',
      ),
  },
  {
    // Its users are in SQL (`-q`, `-Q`), and that database is away.
    says: /^69 /,
    means: (said) => unavailable(said, 'answered'),
  },
  {
    // A part of it got lost on the way.
    says: /^76 .*Content-Length mismatch/i,
    means: (said) => ({ kind: 'deferred', reason: said, answered: true }),
  },
  {
    says: /^76 .*User header/,
    means: (said) => misconfigured(said, 'correct SPAMD_USER: it is the name of a user'),
  },
  {
    says: /^76 /,
    means: (said) =>
      misconfigured(
        `it does not understand TELL (${said})`,
        'point SPAMD_URL at a spamd of SpamAssassin 3.1 or later',
      ),
  },
];

/** What it means that spamd did not say `0 EX_OK`. The reason is passed on as it came. */
export function classify(result: TellResult): Failure {
  return result.kind === 'answer' ? classifyAnswer(result) : classifyFault(result);
}

function classifyAnswer({ code, text }: TellAnswer): Failure {
  const said = `${code} ${text}`.trim();
  const row = ANSWERS.find(({ says }) => says.test(said));
  // 79: spamd had to wait for the message for too long; 75: for a while only. Others are unknown.
  return row?.means(said) ?? { kind: 'deferred', reason: said, answered: true };
}

const FAULTS: readonly ConnectionFault[] = [
  {
    codes: /^NOT_SPAMD$/,
    means: 'misconfigured',
    says: 'another service answers there',
    cure: 'point SPAMD_URL at spamd (port 783 unless set otherwise), not at rspamd, a mail server or amavis; for rspamd use LEARN_TRAINERS=rspamd and RSPAMD_URL',
  },
  ...connectionFaults({
    url: 'SPAMD_URL',
    ca: 'SPAMD_CA_FILE',
    refused:
      'start spamd, or correct SPAMD_URL: it is what spamd has as --listen and --port, or as --socketpath; loopback, which it has unless set otherwise, is not enough where spamd is on another machine or in another container',
    socket: ' and write to it (--socketmode, --socketgroup)',
    noTls:
      'use spamd: in SPAMD_URL where spamd runs without --ssl, or name the port that has it; it',
  }),
];

/** Of another service's words the first line is told. */
function classifyFault({ code, text }: TellFault): Failure {
  if (code === 'ABORTED') return { kind: 'aborted' };
  const row = FAULTS.find(({ codes }) => codes.test(code));
  if (row === undefined) {
    return { kind: 'deferred', reason: SILENT[code] ?? `no answer (${code})`, answered: false };
  }
  const [line = ''] = text.split(/\r?\n/, 1);
  const detail = code === 'NOT_SPAMD' ? line : code;
  const reason = `${row.says} (${detail})`;
  if (row.means === 'misconfigured') return misconfigured(reason, row.cure);
  return unavailable(reason, row.means === 'refused' ? 'refused' : 'none', row.cure);
}

/** Nobody knows whose fault these are. */
const SILENT: Readonly<Record<string, string | undefined>> = {
  CLOSED: 'it closed the connection without an answer (CLOSED)',
  INCOMPLETE: 'it closed the connection in the middle of its answer (INCOMPLETE)',
  ETIMEDOUT: 'no answer in time: it is frozen, or all its children are busy (ETIMEDOUT)',
};

/** A question without a message was closed upon. */
export const NOT_ALLOWED: Blameless = misconfigured(
  'it closes every connection without a word',
  "let this host connect: --allowed-ips of spamd names nobody but loopback unless it is set; without --paranoid, or with a SPAMD_USER that spamd's machine knows; and spamds: in SPAMD_URL where spamd runs with --ssl",
);

/** A canary shows that spamd learns and forgets nothing. */
export function cannotWrite(user: string | undefined): Blameless {
  return user === undefined
    ? misconfigured(
        "it learns nothing: Bayes can't be written, or is off",
        `set SPAMD_USER to the user whose Bayes the filter reads (amavis: amavis or vscan), because a spamd that runs as root learns nothing without it; or ${LET_IT_WRITE}`,
      )
    : misconfigured(
        `it learns nothing for the user ${user}: Bayes can't be written, or is off`,
        LET_IT_WRITE,
      );
}

const LET_IT_WRITE =
  "let that user write the folder and the files of bayes_path (~/.spamassassin unless set; bayes_toks belongs to root after sa-learn ran as root: chown it back), mend the database behind it (Redis, SQL, disk full), and set use_bayes 1, use_learner 1 and bayes_learn_during_report 1; spamd's log says which";

/** What failed before a message was sent is no message's fault. */
export function blameless(failure: Failure): Blameless {
  if (failure.kind !== 'deferred') return failure;
  return unavailable(failure.reason, failure.answered ? 'answered' : 'none');
}

export function unavailable(
  reason: string,
  contact: 'answered' | 'refused' | 'none',
  hint?: string,
): Extract<Outcome, { readonly kind: 'unavailable' }> {
  return { kind: 'unavailable', reason, contact, ...(hint === undefined ? {} : { hint }) };
}

export function misconfigured(
  reason: string,
  hint: string,
): Extract<Outcome, { readonly kind: 'misconfigured' }> {
  return { kind: 'misconfigured', reason, hint, password: false };
}
