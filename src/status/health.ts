import { statusListen } from '../config.ts';
import type { Environment } from '../config.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { clean } from '../text.ts';
import { askDaemon } from './client.ts';
import type { HealthReport } from './reports.ts';

/**
 * `kopano-learnd health`: is the daemon alive and turning? For HEALTHCHECK and runit's `check`. It
 * asks the daemon and nobody else, so that an outage of rspamd and a stand-by are healthy. It is
 * run every few seconds: what it imports is kept small.
 */
interface HealthOptions {
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
  const reply = await askDaemon<HealthReport>(listen, '/healthz', TIMEOUT_MS);
  if (reply.kind === 'running' && reply.report.healthy) {
    out(`healthy: ${reply.report.role === 'owner' ? 'owns its spool' : 'stands by'}\n`);
    return EXIT.done;
  }
  const fault = reply.kind === 'running' ? reply.report.reasons.join('; ') : reply.reason;
  out(`${clean(`not healthy: ${fault}`, 500)}\n`);
  return EXIT.failure;
}
