import type { Environment } from '../config.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { addressText, statusListen } from '../listen-address.ts';
import { askDaemon } from '../status/client.ts';
import type { HealthReport } from '../status/report.ts';
import { clean } from '../text.ts';

/**
 * `kopano-learnd health`: is the daemon alive and turning? For HEALTHCHECK and runit's `check`. It
 * asks the daemon and nobody else, so that an outage of rspamd and a stand-by are healthy. It is
 * run every few seconds: what it imports is kept small.
 */
export interface HealthOptions {
  readonly environment: Environment;
  readonly out: (text: string) => void;
}

/** Docker, Kubernetes and runit have limits of their own, and then tell nothing of the reason. */
const TIMEOUT_MS = 4_000;

/**
 * @returns 0 when it is healthy, else 1
 * @throws {OperatorError} exit 78, when it can't be asked
 */
export async function health({ environment, out }: HealthOptions): Promise<ExitCode> {
  const listen = statusListen(environment);
  if (listen === undefined) {
    throw new OperatorError({
      code: 'health.off',
      message: "STATUS_LISTEN is off: whether the daemon is healthy can't be known",
      hint: 'set STATUS_LISTEN to HOST:PORT, for the daemon and for this command alike',
      exitCode: EXIT.configuration,
    });
  }
  const reply = await askDaemon(listen, '/healthz', TIMEOUT_MS);
  const tell = (text: string): void => {
    out(`${clean(text, 500)}\n`);
  };
  switch (reply.kind) {
    case 'silent':
      tell(`not healthy: ${addressText(listen)}: ${reply.reason}`);
      return EXIT.failure;
    case 'foreign':
      break;
    case 'answered': {
      const report = healthOf(reply.content);
      if (report === undefined) break;
      if (report.healthy) {
        tell(`healthy: ${report.role === 'owner' ? 'owns its spool' : 'stands by'}`);
        return EXIT.done;
      }
      tell(`not healthy: ${report.reasons.join('; ')}`);
      return EXIT.failure;
    }
  }
  tell(`not healthy: what answers at ${addressText(listen)} is not kopano-learnd`);
  return EXIT.failure;
}

/** What the daemon says, if it is the daemon. */
function healthOf(content: unknown): HealthReport | undefined {
  if (typeof content !== 'object' || content === null) return undefined;
  if (!('healthy' in content) || typeof content.healthy !== 'boolean') return undefined;
  if (!('reasons' in content) || !Array.isArray(content.reasons)) return undefined;
  if (!('role' in content) || (content.role !== 'owner' && content.role !== 'standby')) {
    return undefined;
  }
  return { healthy: content.healthy, role: content.role, reasons: content.reasons.map(String) };
}
