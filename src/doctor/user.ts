import type { SpoolConfig } from '../config.ts';
import type { OperatorError } from '../errors.ts';
import { statsAt } from '../spool/folder.ts';
import { isUnmapped } from '../spool/user-namespace.ts';
import { cureIn, failed, notTried, ok } from './finding.ts';
import type { Finding } from './finding.ts';
import { named } from './machine.ts';
import type { Account } from './machine.ts';

/**
 * Who runs the doctor. What a stranger to the spool may not do there is no fault of the spool, and
 * cures for it would take the spool from the daemon.
 * @param refusal why the daemon would not run, where root started both
 * @returns false where only another user can tell how the spool is
 */
export function* checkUser(
  { libDir, stateDir }: Pick<SpoolConfig, 'libDir' | 'stateDir'>,
  account: Account,
  refusal: OperatorError | undefined,
): Generator<Finding, boolean> {
  const check = 'user';
  const me = named('uid', account.uid);
  const [state, ham] = [statsAt(stateDir), statsAt(`${libDir}/ham`)];
  if (refusal !== undefined && ham === undefined && state === undefined) {
    // That ham/ or the whole spool is missing is told of the spool, with its cure.
    yield notTried(check, refusal.message);
    return true;
  }
  if (refusal !== undefined) {
    yield failed(check, refusal.message, cureIn(refusal));
    return true;
  }
  const isOrdinary = account.uid !== 0 && ham !== undefined && !isUnmapped('uid', ham.uid);
  if (!isOrdinary || state?.uid !== ham.uid || ham.uid === BigInt(account.uid)) {
    yield ok(check, `runs as ${me}`);
    return true;
  }
  yield failed(
    check,
    `runs as ${me}, and the spool with its state dir is that of ${named('uid', ham.uid)}`,
    'say it as root, whose commands run as that user by themselves',
  );
  yield notTried('spool', 'what that other user may do there can be told to that one alone');
  return false;
}
