import type { Config } from '../config.ts';
import { restartCommand } from '../host.ts';
import type { Host } from '../host.ts';
import type { DaemonAnswer } from '../status/ask.ts';
import type { DaemonReport } from '../status/reports.ts';
import type { Filter } from '../filter.ts';
import { clean } from '../text.ts';
import { failed, notTried, ok, warning } from './finding.ts';
import type { Cure, Finding } from './finding.ts';
import { named } from './machine.ts';
import type { Account } from './machine.ts';

/** What the running daemon says of itself: what it waits for, what fails it, and what it was told. */
export function* checkDaemon(
  config: Config,
  account: Account,
  daemon: DaemonAnswer,
): Generator<Finding> {
  const check = 'daemon';
  if (daemon.kind !== 'running') {
    yield notTried(check, `what it meets shows a running daemon; ${daemon.reason}`);
    return;
  }
  const { report } = daemon;
  const { faults, waitsFor, health, process } = report;
  yield* settingsOf(config, report);
  yield* userOf(account, report);
  for (const { place, code, says } of faults) {
    // A missing folder was found above.
    if (code === 'ENOENT' && report.spool === config.spool.libDir) continue;
    yield failed(
      check,
      `${place} fails the running daemon: ${clean(says)}`,
      diskCure(place, code, process.host),
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

function diskCure(place: string, code: string, host: Host): Cure {
  if (code === 'EROFS' && host.kind === 'systemd') {
    const drop = `/etc/systemd/system/${host.unit}.service.d`;
    return {
      says: 'the unit lets the daemon write below its ReadWritePaths= only; name the folder there',
      command: `mkdir -p ${drop} && printf '[Service]\\nReadWritePaths=%s\\n' '${place}' >>${drop}/spool.conf && systemctl daemon-reload && systemctl restart ${host.unit}`,
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

/** The daemon was started with other settings than this command reads. */
function* settingsOf(config: Config, report: DaemonReport): Generator<Finding> {
  const check = 'settings';
  const { spool, rspamd, spamd, trainers } = config;
  const textOf = (names: readonly string[]): string => names.join(', ');
  const theirs = (filter: Filter): readonly string[] | undefined =>
    report.trainers.find(({ trainer }) => trainer === filter)?.controllers;
  const controllers = rspamd.controllers.map(({ name }) => name);
  const pairs = [
    ['KOPANO_SPAMD_LIB', report.spool, spool.libDir],
    ['LEARN_STATE_DIR', report.stateDir, spool.stateDir],
    ['LEARN_AFTER', report.process.after, spool.after],
    ['LEARN_TRAINERS', textOf(report.trainers.map(({ trainer }) => trainer)), textOf(trainers)],
    ['RSPAMD_URL', textOf(theirs('rspamd') ?? controllers), textOf(controllers)],
    ['SPAMD_URL', textOf(theirs('spamassassin') ?? []), spamd.address.name],
  ] as const;
  for (const [name, has, ours] of pairs) {
    if (has === ours || (name === 'SPAMD_URL' && has === '')) continue;
    yield warning(
      check,
      `the running daemon has ${name}=${clean(has)}, and this command ${clean(ours)}`,
      {
        says: 'write it into /etc/kopano-learnd.conf, which every command reads, and restart the daemon',
        command: restartCommand(report.process.host),
      },
    );
  }
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
