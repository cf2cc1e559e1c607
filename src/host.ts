import { existsSync, readFileSync } from 'node:fs';
import type { Environment } from './settings.ts';
import { inShell } from './text.ts';

/** How a daemon is run, as far as the cure of a fault depends on it. */
export type Host =
  | { readonly kind: 'systemd'; readonly unit: string }
  /** `service`: the folder that runsv runs. */
  | { readonly kind: 'runit'; readonly service: string }
  | { readonly kind: 'container' | 'other' };

/** How this process is run. */
export function hostOf(environment: Environment): Host {
  if (readText(`/proc/${process.ppid}/comm`).trim() === 'runsv') {
    return { kind: 'runit', service: process.cwd() };
  }
  // Children inherit both, and are no services by that (systemd.exec(5)).
  const isService = [undefined, String(process.pid)].includes(environment['SYSTEMD_EXEC_PID']);
  if (environment['INVOCATION_ID'] !== undefined && isService) {
    const unit = /([^/\s]+)\.service\s*$/.exec(readText('/proc/self/cgroup'))?.[1];
    return { kind: 'systemd', unit: unit ?? 'kopano-learnd' };
  }
  return { kind: isInContainer(environment) ? 'container' : 'other' };
}

/** How a daemon that doesn't tell is likely to be run on this machine. */
export function likelyHost(environment: Environment): Host {
  const name = 'kopano-learnd';
  const service = runitService(name, environment);
  if (isBooted() && hasUnit(name)) return { kind: 'systemd', unit: name };
  if (service !== undefined) return { kind: 'runit', service };
  if (hasUnit(name)) return { kind: 'systemd', unit: name };
  return { kind: isInContainer(environment) ? 'container' : 'other' };
}

/** The command that starts a running daemon again; `undefined` where only words can say it. */
export function restartCommand(host: Host): string | undefined {
  if (host.kind === 'systemd') return `systemctl restart ${inShell(host.unit)}`;
  return host.kind === 'runit' ? `sv restart ${inShell(host.service)}` : undefined;
}

/** The command that starts a daemon that is down, also one that rests after exit code 78. */
export function startCommand(host: Host): string | undefined {
  if (host.kind !== 'runit') return restartCommand(host);
  const service = inShell(host.service);
  return `sv stop ${service} && sv start ${service}`;
}

/** The command that starts another server of this machine anew, the first of these names that is one. */
export function serverCommand(
  names: readonly string[],
  environment: Environment,
): string | undefined {
  for (const name of names) {
    if (isBooted() && hasUnit(name)) return `systemctl restart ${name}`;
    const service = runitService(name, environment);
    if (service !== undefined) return startCommand({ kind: 'runit', service });
  }
  return undefined;
}

/** A service that runsv runs. */
function runitService(name: string, environment: Environment): string | undefined {
  return [environment['SVDIR'] ?? '/etc/service', '/service', '/etc/sv']
    .map((each) => `${each}/${name}`)
    .find((each) => existsSync(`${each}/supervise`));
}

/** systemd is the first process here (sd_booted(3)). */
function isBooted(): boolean {
  return existsSync('/run/systemd/system');
}

function hasUnit(name: string): boolean {
  return ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'].some((each) =>
    existsSync(`${each}/${name}.service`),
  );
}

function isInContainer(environment: Environment): boolean {
  return (
    environment['KUBERNETES_SERVICE_HOST'] !== undefined ||
    ['/.dockerenv', '/run/.containerenv'].some((each) => existsSync(each))
  );
}

/** A line of /etc/passwd or /etc/group, by its name (field 0) or its number (field 2). */
export function accountLine(
  kind: 'uid' | 'gid',
  field: 0 | 2,
  text: string,
): readonly string[] | undefined {
  const lines = readText(kind === 'uid' ? '/etc/passwd' : '/etc/group').split('\n');
  return lines.map((line) => line.split(':')).find((fields) => fields[field] === text);
}

/** A user's or a group's name, or the number where it has none: for a command line. */
export function plainName(kind: 'uid' | 'gid', id: number | bigint): string {
  const [name = ''] = accountLine(kind, 2, String(id)) ?? [];
  return name === '' ? String(id) : name;
}

/** The command that installs a program here: Alpine's, Fedora's, or else Debian's. */
export function installCommand(debian: string, alpine: string, fedora: string): string {
  if (existsSync('/sbin/apk')) return `apk add ${alpine}`;
  return existsSync('/usr/bin/dnf') ? `dnf install ${fedora}` : `apt-get install ${debian}`;
}

/** Whether a command is one of those. */
export function isInstallCommand(command: string): boolean {
  return /^(apk add|dnf install|apt-get install) /.test(command);
}

/** A file's bytes, one character each; empty where it can't be read. */
export function readText(place: string): string {
  try {
    return readFileSync(place, 'latin1');
  } catch {
    return '';
  }
}
