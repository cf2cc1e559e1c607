import { restartCommand, startCommand } from '../host.ts';
import type { Host } from '../host.ts';
import type { DaemonReport } from '../status/reports.ts';
import { clean, inShell } from '../text.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Case, Cure, Finding } from './finding.ts';
import { named } from './machine.ts';

const CHECK = 'daemon';

/**
 * What the running daemon says of itself: what it waits for, and what fails it.
 * @param isOwned some daemon owns the spool, though none answers
 */
export function* checkDaemon(given: Case, isOwned: boolean): Generator<Finding> {
  const { config, daemon, host } = given;
  if (daemon.kind !== 'running') {
    const command = startCommand(host);
    // A service that is down learns nothing; by cron or by hand it is down most of the time.
    const isDown = daemon.kind === 'none' && !isOwned && command !== undefined;
    const log = host.kind === 'systemd' ? `journalctl -u ${host.unit}` : 'its log';
    const hint = `when the rest is mended, start it; ${log} says why it ended`;
    yield isDown
      ? failed(CHECK, `no daemon runs, and nothing is learned; ${daemon.reason}`, { hint, command })
      : notTried(CHECK, `what it meets shows a running daemon; ${daemon.reason}`);
    return;
  }
  const { report } = daemon;
  const { faults, waitsFor, health } = report;
  yield* userOf(report, given);
  for (const { place, code, says } of faults) {
    // A missing folder was found above.
    if (code === 'ENOENT' && report.spool === config.spool.libDir) continue;
    const cure = diskCure(place, code, report.spool, host);
    yield failed(CHECK, `${place} fails the running daemon: ${clean(says)}`, cure);
  }
  for (const reason of health.reasons) {
    yield failed(CHECK, `the running daemon hangs: ${clean(reason)}`, {
      hint: 'restart it; its log says more',
      command: restartCommand(host),
    });
  }
  if (waitsFor !== null && faults.length === 0) {
    const says = `the running daemon waits: ${clean(waitsFor)}`;
    yield warning(CHECK, says, 'mend what is named above');
  }
  if (waitsFor === null && faults.length + health.reasons.length === 0) {
    yield ok(CHECK, 'owns the spool, and nothing fails it');
  }
}

function diskCure(place: string, code: string, spool: string, host: Host): Cure {
  if (code === 'EROFS' && host.kind === 'systemd') {
    const drop = inShell(`/etc/systemd/system/${host.unit}.service.d`);
    // Two paths would be two mounts, between which a message has to be copied.
    const path = place.startsWith(`${spool}/`) ? spool : place;
    return {
      hint: 'the unit lets the daemon write below its ReadWritePaths= only; name the folder there',
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
function* userOf({ process }: DaemonReport, { identity, host }: Case): Generator<Finding> {
  const check = 'user';
  if (process.uid !== identity.uid) {
    const says = `the running daemon is ${named('uid', process.uid)}, this command is not`;
    yield notTried(check, says);
    return;
  }
  const lacking = identity.groups.filter((gid) => !process.groups.includes(gid));
  if (lacking.length === 0) return;
  const names = lacking.map((gid) => named('gid', gid)).join(', ');
  yield warning(check, `the running daemon was started without the group ${names}`, {
    hint: 'restart it, so that it gets its groups',
    command: restartCommand(host),
  });
}
