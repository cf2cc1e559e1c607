import { misconfigured, unavailable } from './answers.ts';
import type { Blameless } from './answers.ts';
import type { RunFault } from './sa-learn-run.ts';

/**
 * The table of how `sa-learn` fails where no message has a part in it, with the cures. Its exit code is
 * the error number of the moment (seen on 4.0.1). Tells what a run that failed means for everybody; a
 * code that a message may bring about, too, is only held against this after a canary failed as well.
 */

interface FaultRow {
  /** Held against the code and what it said last. */
  readonly says: RegExp;
  readonly means: (fault: RunFault, program: string) => Blameless;
  /** No message brings it about. */
  readonly isCertain?: boolean;
}

const NOT_STORED =
  "let the daemon's user write the folder and the files of bayes_path (~/.spamassassin unless set; they belong to root after sa-learn ran as root: chown them back), and run the daemon as the user whose Bayes the filter reads";
const DATABASE = 'start the database that Bayes is in, or correct bayes_sql_dsn or bayes_redis_dsn';

const FAULTS: readonly FaultRow[] = [
  {
    says: /^(ENOENT|ENOTDIR|EACCES|ENOEXEC|EPERM|ELOOP) /,
    means: ({ code }, program) =>
      misconfigured(
        `${program} can't be started (${code})`,
        'install SpamAssassin (Debian: apt install spamassassin), or correct the path in SPAMD_URL',
      ),
    isCertain: true,
  },
  {
    says: /^(EAGAIN|ENOMEM|EMFILE|ENFILE) /,
    means: ({ code }) =>
      unavailable(
        `it can't be started now (${code})`,
        'none',
        "look at this machine's limits of processes, open files and memory",
      ),
    isCertain: true,
  },
  {
    says: /^TEMPORARY /,
    means: ({ text }) =>
      unavailable(text, 'none', 'make room there, or set TMPDIR to a folder that it may write'),
    isCertain: true,
  },
  {
    says: /use_bayes 0/,
    means: () =>
      misconfigured("Bayes is off: use_bayes 0 in SpamAssassin's local.cf", 'set use_bayes 1'),
    isCertain: true,
  },
  {
    says: /^64 /,
    means: (_, program) =>
      misconfigured(
        `${program} does not understand its command line (exit 64)`,
        'point SPAMD_URL at sa-learn of SpamAssassin 3.4 or later',
      ),
    isCertain: true,
  },
  {
    says: /^28 /,
    means: () => unavailable('the disk of Bayes is full (exit 28)', 'answered', 'make room there'),
  },
  {
    says: /^(104|110|111|113) /,
    means: ({ code }) =>
      unavailable(`the database of Bayes is away (exit ${code})`, 'answered', DATABASE),
  },
  {
    says: /^(13|2|25|30) /,
    means: ({ code }) =>
      misconfigured(`it can't write Bayes, or Bayes is damaged (exit ${code})`, NOT_STORED),
  },
  {
    says: /^255 /,
    means: ({ text }) =>
      misconfigured(
        `it fails (exit 255: ${text})`,
        `load Mail::SpamAssassin::Plugin::Bayes in the .pre files and say spamassassin --lint; ${DATABASE}`,
      ),
  },
  {
    says: /^LATE /,
    means: () =>
      unavailable(
        'it does not end',
        'answered',
        `look what it waits for, such as a hung database of Bayes; ${DATABASE}`,
      ),
  },
];

/** What kept it from learning anything, if that is certain. */
export function certainFault(fault: RunFault, program: string): Blameless | undefined {
  const row = rowOf(fault);
  return row?.isCertain === true ? row.means(fault, program) : undefined;
}

/** What it means that it failed with a canary, too. */
export function classifyFault(fault: RunFault, program: string): Blameless {
  return (
    rowOf(fault)?.means(fault, program) ??
    unavailable(`it fails (${inWords(fault)})`, 'answered', 'say spamassassin --lint as its user')
  );
}

/** A failure for people. */
export function inWords({ code, text }: RunFault): string {
  const end = typeof code === 'number' ? `exit ${code}` : code;
  return text === '' ? end : `${end}: ${text}`;
}

function rowOf({ code, text }: RunFault): FaultRow | undefined {
  return FAULTS.find(({ says }) => says.test(`${code} ${text}`));
}

/** It waited for the lock in vain. */
export function isLocked({ code }: RunFault): boolean {
  return code === 17;
}

const WHOSE_LOCK =
  'look into bayes.lock beside bayes_toks (in ~/.spamassassin, or as bayes_path says): it names host and process id of who holds it; remove that file if there is no such process any more';

/**
 * A lock that outlives its process is broken after ten minutes, and each run waits as long.
 * @param times that it was waited for in vain, one after the other
 */
export function lockedFor(times: number): Blameless {
  if (times < 2) return unavailable('Bayes is locked (exit 17)', 'answered', WHOSE_LOCK);
  return misconfigured('Bayes has been locked for twenty minutes (exit 17)', WHOSE_LOCK);
}

/** Its expiry of tokens gives the files of Bayes to root, and from then on the filter has no Bayes. */
export function rootFault(program: string): ReturnType<typeof misconfigured> {
  return misconfigured(
    'sa-learn is never run as root: that takes the files of Bayes from the filter',
    `run the daemon as the user whose Bayes the filter reads: ${AS_ANOTHER} kopano-learnd watch (SPAMD_URL=exec:${program})`,
  );
}

export const AS_ANOTHER = 'setpriv --reuid amavis --regid amavis --init-groups';
