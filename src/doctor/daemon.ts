import { addressText } from '../listen-address.ts';
import type { ListenAddress } from '../listen-address.ts';
import { askDaemon as ask } from '../status/client.ts';
import { daemonReportOf } from '../status/report.ts';
import type { DaemonReport } from '../status/report.ts';
import { clean, plural } from '../text.ts';
import { notTried, ok, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/**
 * What the running daemon says of itself at STATUS_LISTEN: the doctor teaches nothing, so what only
 * learning shows it can but ask.
 */
export type DaemonAnswer =
  | { readonly kind: 'answered'; readonly report: DaemonReport }
  /** No daemon, or nothing that is one. */
  | { readonly kind: 'none'; readonly reason: string }
  /** Something took the question, and is silent. */
  | { readonly kind: 'wedged'; readonly reason: string }
  /** It may not be asked. */
  | { readonly kind: 'off'; readonly reason: string };

const TIMEOUT_MS = 5_000;

/** Asks it. Never rejects. */
export async function askDaemon(
  listen: ListenAddress | undefined,
  stop: AbortSignal,
): Promise<DaemonAnswer> {
  const none = (reason: string): DaemonAnswer => ({ kind: 'none', reason });
  if (listen === undefined) return { kind: 'off', reason: 'STATUS_LISTEN is off' };
  const where = addressText(listen);
  const reply = await ask(listen, '/status', TIMEOUT_MS, stop);
  if (reply.kind === 'silent') {
    const reason = `no daemon answers at ${where} (${reply.reason})`;
    return { kind: reply.isThere ? 'wedged' : 'none', reason };
  }
  const report = reply.kind === 'foreign' ? undefined : daemonReportOf(reply.content);
  return report === undefined
    ? none(`what answers at ${where} is not this daemon`)
    : { kind: 'answered', report };
}

/** Whether it met errors of its own. */
export function checkBugs(daemon: DaemonAnswer): Finding {
  const check = 'bugs';
  if (daemon.kind !== 'answered') {
    return notTried(
      check,
      `whether it met errors of its own shows a running daemon; ${daemon.reason}`,
    );
  }
  const { count, last } = daemon.report.bugs;
  if (last === null) return ok(check, 'the daemon has met no error of its own since its start');
  return warning(
    check,
    `the running daemon has met ${plural(count, 'error')} of its own, the last at ${clean(last.at)} (${clean(last.where)}): ${clean(last.error)}`,
    'report it with its line daemon.bug in the log; what met it stays and is tried again',
  );
}
