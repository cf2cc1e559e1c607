import { restartCommand, startCommand } from '../host.ts';
import type { Host } from '../host.ts';
import type { DaemonAnswer } from '../status/ask.ts';
import type { DaemonReport } from '../status/reports.ts';
import { clean, inShell } from '../text.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Cure, Finding } from './finding.ts';
import { named } from './machine.ts';
import type { Account } from './machine.ts';

export interface DaemonCheckOptions {
  /** This command's spool, which was looked at. */
  readonly libDir: string;
  readonly account: Account;
  readonly daemon: DaemonAnswer;
  /** How a daemon that doesn't answer is run. */
  readonly host: Host;
  /** Some daemon owns the spool, though none answers. */
  readonly isOwned: boolean;
}

/** What the running daemon says of itself: what it waits for, and what fails it. */
export function* checkDaemon(options: DaemonCheckOptions): Generator<Finding> {
  const { libDir, account, daemon } = options;
  const check = 'daemon';
  if (daemon.kind !== 'running') {
    yield notRunning(daemon, options);
    return;
  }
  const { report } = daemon;
  const { faults, waitsFor, health, process } = report;
  yield* userOf(account, report);
  for (const { place, code, says } of faults) {
    // A missing folder was found above.
    if (code === 'ENOENT' && report.spool === libDir) continue;
    yield failed(
      check,
      `${place} fails the running daemon: ${clean(says)}`,
      diskCure(place, code, report),
    );
  }
  for (const reason of health.reasons) {
    yield failed(check, `the running daemon hangs: ${clean(reason)}`, {
      says: 'restart it; its log says more',
      command: restartCommand(process.host),
    });
  }
  if (waitsFor !== null && faults.length === 0) {
    yield warning(
      check,
      `the running daemon waits: ${clean(waitsFor)}`,
      'mend what is named above',
    );
  }
  if (waitsFor === null && faults.length + health.reasons.length === 0) {
    yield ok(check, 'owns the spool, and nothing fails it');
  }
}

/** A service that is down learns nothing; by cron or by hand it is down most of the time. */
function notRunning(
  { kind, reason }: Exclude<DaemonAnswer, { kind: 'running' }>,
  { host, isOwned }: DaemonCheckOptions,
): Finding {
  const check = 'daemon';
  const command = startCommand(host);
  if (kind !== 'none' || isOwned || command === undefined) {
    return notTried(check, `what it meets shows a running daemon; ${reason}`);
  }
  const log = host.kind === 'systemd' ? `journalctl -u ${host.unit}` : 'its log';
  return failed(check, `no daemon runs, and nothing is learned; ${reason}`, {
    says: `when the rest is mended, start it; ${log} says why it ended`,
    command,
  });
}

function diskCure(place: string, code: string, { process: { host }, spool }: DaemonReport): Cure {
  if (code === 'EROFS' && host.kind === 'systemd') {
    const drop = inShell(`/etc/systemd/system/${host.unit}.service.d`);
    // Two paths would be two mounts, between which a message has to be copied.
    const path = place.startsWith(`${spool}/`) ? spool : place;
    return {
      says: 'the unit lets the daemon write below its ReadWritePaths= only; name the folder there',
      command: `mkdir -p ${drop} && printf '[Service]\\nReadWritePaths=%s\\n' ${inShell(inUnit(path))} >>${drop}/spool.conf && systemctl daemon-reload && systemctl restart ${inShell(host.unit)}`,
    };
  }
  const cures: Readonly<Record<string, string>> = {
    ENOSPC: 'make room there (space or inodes); it goes on by itself',
    EDQUOT: 'raise the quota or make room there; it goes on by itself',
    EROFS: 'mount it writable (in a container: the volume without :ro)',
    EACCES: 'mend the rights that are named above',
    EMFILE: "raise the daemon's limit of open files (LimitNOFILE=, ulimit -n)",
  };
  return cures[code] ?? 'look at the log of the daemon and of the kernel';
}

/** A path as a unit's list of paths has it: % begins a specifier, a blank ends it (systemd.syntax(7)). */
function inUnit(path: string): string {
  const text = path.replaceAll('%', '%%');
  return /[\s"'\\]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : text;
}

/** It keeps the groups that it was started with. */
function* userOf(account: Account, { process }: DaemonReport): Generator<Finding> {
  const check = 'user';
  if (process.uid !== account.uid) {
    yield notTried(
      check,
      `the running daemon is ${named('uid', process.uid)}, this command is not`,
    );
    return;
  }
  const lacking = account.groups.filter((gid) => !process.groups.includes(gid));
  if (lacking.length === 0) return;
  const names = lacking.map((gid) => named('gid', gid)).join(', ');
  yield warning(check, `the running daemon was started without the group ${names}`, {
    says: 'restart it, so that it gets its groups',
    command: restartCommand(process.host),
  });
}
