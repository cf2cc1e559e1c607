import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { allFaults, count } from '../status/census.ts';
import { addressText } from '../listen-address.ts';
import { askDaemon } from '../status/client.ts';
import { overviewText, progressOf } from '../status/overview.ts';
import type { DaemonAnswer, Overview } from '../status/overview.ts';
import { obstacleAt } from '../status/readiness.ts';
import { bayesOf, daemonReportOf } from '../status/report.ts';
import { lookAt } from '../status/survey.ts';
import { RspamdTrainer } from '../trainers/rspamd.ts';

/**
 * `kopano-learnd status`: what waits in the folders, what the running daemon has done since its
 * start, and what rspamd says. It counts and asks by itself, so that it works without a daemon; it
 * makes nothing and changes nothing.
 */
export interface StatusOptions {
  readonly config: Config;
  /** One JSON object instead of a text. */
  readonly json: boolean;
  readonly out: (text: string) => void;
  readonly stop: AbortSignal;
}

const TIMEOUT_MS = 5_000;

/** @returns 0, whatever it finds; 1 when it was stopped */
export async function status(options: StatusOptions): Promise<ExitCode> {
  const { config, json, out, stop } = options;
  const overview = await look(config, stop);
  // What was cut short was not answered, and must not be told as such.
  if (stop.aborted) return EXIT.failure;
  out(json ? `${JSON.stringify(overview, undefined, 2)}\n` : overviewText(overview));
  return EXIT.done;
}

async function look(config: Config, stop: AbortSignal): Promise<Overview> {
  const { spool } = config;
  const asked = Promise.all([askAboutSpool(config, stop), askRspamd(config, stop)]);
  const dropped = await count(spool, 'drop');
  const queued = await count(spool, 'queue');
  const quarantined = await count(spool, 'quarantine');
  const released = await count(spool, 'release');
  const archived = await count(spool, 'archive');
  const [daemon, controllers] = await asked;
  return {
    spool: spool.libDir,
    stateDir: spool.stateDir,
    dropped: dropped.numbers,
    queued: queued.numbers,
    quarantined: quarantined.numbers,
    released: released.numbers,
    archived: archived.numbers,
    faults: allFaults([dropped, queued, quarantined, released, archived]),
    daemon,
    rspamd: controllers.map(({ name, obstacle }) => ({
      name,
      reachable: obstacle === null,
      obstacle,
    })),
    bayes: progressOf(bayesOf(controllers)),
  };
}

async function askAboutSpool(
  { statusListen, spool }: Config,
  stop: AbortSignal,
): Promise<DaemonAnswer> {
  const unknown = (reason: string): DaemonAnswer => ({ kind: 'unknown', reason });
  if (statusListen === undefined) {
    return unknown("STATUS_LISTEN is off: whether one runs can't be asked");
  }
  const place = addressText(statusListen);
  const reply = await askDaemon(statusListen, '/status', TIMEOUT_MS, stop);
  if (reply.kind === 'silent') return unknown(`none answers at ${place} (${reply.reason})`);
  const report = reply.kind === 'foreign' ? undefined : daemonReportOf(reply.content);
  if (report === undefined) return unknown(`what answers at ${place} is not kopano-learnd`);
  if (report.spool !== spool.libDir) {
    return unknown(`the one at ${place} has another spool (${report.spool})`);
  }
  if (report.stateDir !== spool.stateDir) {
    return unknown(`the one at ${place} has another state dir (${report.stateDir})`);
  }
  return { kind: 'running', report };
}

function askRspamd({ rspamd }: Config, stop: AbortSignal) {
  return Promise.all(
    rspamd.controllers.map(async (controller) => {
      const trainer = new RspamdTrainer({ ...rspamd, controller, bulk: true });
      const found = await lookAt(trainer, systemClock, stop);
      const learned = found.kind === 'answers' ? found.statistics.learned : undefined;
      return {
        name: trainer.name,
        obstacle:
          obstacleAt({ state: 'starting', reason: undefined, look: found, isWanted: false }) ??
          null,
        bayes: { spam: learned?.spam ?? null, ham: learned?.ham ?? null },
      };
    }),
  );
}
