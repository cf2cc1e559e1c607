import { readdirSync } from 'node:fs';
import { plainName, readText } from '../host.ts';
import type { SpamdAddress } from '../spamd-address.ts';
import { isThisMachine } from './here.ts';

/** What can be seen of a spamd that runs on this machine (SpamAssassin 4.0.1). */
export interface Spamd {
  /** Its words after the program. */
  readonly args: readonly string[];
  /** Whom it runs as, or whom its processes become; root's become the user of each request. */
  readonly user: string;
}

/** Whether the address leads to this machine, as far as that is plain. */
export function isSpamdHere({ socketPath, host }: SpamdAddress): boolean {
  return socketPath !== undefined || isThisMachine(host);
}

/** The one spamd that may listen there; `undefined` where none can be seen, or several. */
export function spamdHere(address: SpamdAddress): Spamd | undefined {
  if (!isSpamdHere(address)) return undefined;
  const { socketPath } = address;
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.flatMap((pid) => {
    const words = readText(`/proc/${pid}/cmdline`).split('\0');
    // perl -T -w /usr/sbin/spamd; a child calls itself "spamd child"
    const at = words.slice(0, 4).findIndex((word) => /(^|\/)spamd$/.test(word));
    const args = words.slice(at + 1);
    const isIt =
      socketPath === undefined
        ? !args.some((arg) => arg.startsWith('--socketpath'))
        : args.some((arg) => arg === socketPath || arg === `--socketpath=${socketPath}`);
    const user = optionOf(args, '-u', '--username') ?? userOf(pid);
    return at >= 0 && isIt ? [{ args, user }] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

/** The value of an option, which follows it or is joined to it. */
export function optionOf(args: readonly string[], short: string, long: string): string | undefined {
  const at = args.findIndex((arg) => [short, long].includes(arg));
  if (at >= 0) return args[at + 1];
  const joint = args.find((arg) => arg.startsWith(`${long}=`) || /^-[^-]/.exec(arg)?.[0] === short);
  return joint?.slice(joint.startsWith('--') ? long.length + 1 : short.length);
}

function userOf(pid: string): string {
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1] ?? '';
  return plainName('uid', Number(uid));
}
