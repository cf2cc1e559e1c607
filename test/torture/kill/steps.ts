import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from '../../lab/daemon-process.ts';
import type { Scenario } from './scenarios.ts';
import { KillStage } from './stage.ts';

/**
 * One scenario told from its beginning to its end, with a kill at one step or without any. Whatever
 * is not as it must be is thrown, with the scenario and the step.
 */

const PATIENCE_MS = 30_000;
const POLL_MS = 10;

/** With one message at a time in flight one at most is learned and not yet disposed of at a kill. */
const SETTINGS = { LEARN_CONCURRENCY: '1', LEARN_SETTLE_MS: '200', LEARN_SWEEP_SECONDS: '2' };

export interface Told {
  /** Every step that the program took until it was killed or stopped, as often as it did. */
  readonly steps: readonly string[];
  /** False when it never came to the step. */
  readonly isKilled: boolean;
  /** Messages that rspamd had learned and was taught again. */
  readonly repeated: number;
}

/**
 * @param program what is started
 * @param at the step at which it is killed; it may not come to it
 */
export async function tell(scenario: Scenario, program: string, at = ''): Promise<Told> {
  const elsewhere = scenario.elsewhere === true;
  await using stage = await KillStage.make({ program, elsewhere });
  try {
    return await tellOn(stage, scenario, at);
  } catch (error) {
    const what = `${scenario.name}, killed '${at}': `;
    throw new Error(what + (error instanceof Error ? error.message : String(error)), {
      cause: error,
    });
  }
}

async function tellOn(stage: KillStage, scenario: Scenario, at: string): Promise<Told> {
  const { spool, controller } = stage;
  const settings = { ...SETTINGS, ...scenario.settings, RSPAMD_URL: controller.url };
  await scenario.tell(stage);
  const { args = ['watch'] } = scenario;
  const program = await spool.start(settings, { args, failpoint: at });
  const isOver = (): boolean => !stage.hasDeedsLeft && stage.differences().length === 0;
  await until(stage, () => !program.running || isOver());
  const isStopped = program.running;
  if (isStopped) program.signal('SIGTERM');
  await until(stage, () => !program.running);
  const steps = spool.steps;
  const isKilled = steps.at(-1) === 'KILLED';
  const isCommand = scenario.args !== undefined;
  if (!isKilled && !isStopped && !isCommand) throw new Error('the daemon ended by itself');
  await stage.settle();
  mustBeEmpty(stage.violations());
  await stage.finishDeeds();
  if (isKilled && isCommand) {
    const again = await spool.start(settings, { args }); // an operator's word is said again
    await until(stage, () => !again.running);
  }
  if (stage.differences().length > 0) {
    mustBeEmpty(stage.violations());
    controller.nextDaemon();
    await finish(stage, await spool.start(settings));
  }
  mustBeEmpty([...stage.violations(), ...stage.differences()]);
  const { repeated } = controller;
  if (repeated > (isKilled ? 1 : 0)) throw new Error(`${repeated} messages were learned again`);
  return { steps: isKilled ? steps.slice(0, -1) : steps, isKilled, repeated };
}

/**
 * The steps at which a kill may make a difference, each as often as it is taken: after every one of
 * them, and before those that change something. What comes before the others is what comes after
 * their predecessors. Steps on folders, locks and lists are the same for every message.
 */
export function stepsWorthAKill(scenario: Scenario, steps: readonly string[]): string[] {
  return steps.filter((step) => {
    if (/ (POST|GET) /.test(step)) return true;
    if (scenario.thorough !== true && !step.includes('*')) return false;
    return step.startsWith('after ') || CHANGING.test(step);
  });
}

const CHANGING =
  /^before (renameSync|unlinkSync|mkdirSync|rmSync|rm|open|FileHandle\.(writeFile|utimes|sync)) /;

/** Lets a daemon bring the story to its end. */
async function finish(stage: KillStage, daemon: DaemonProcess): Promise<void> {
  await until(stage, () => !daemon.running || stage.differences().length === 0);
  if (!daemon.running) throw new Error('the daemon that came after it ended by itself');
  await daemon.kill();
}

async function until(stage: KillStage, isSo: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > end) {
      const log = stage.spool.daemons
        .flatMap(({ lines }) => lines.slice(-8))
        .map(({ fields }) => fields);
      mustBeEmpty([
        'waited in vain',
        ...stage.differences(),
        ...log.map((line) => JSON.stringify(line)),
      ]);
    }
    await sleep(POLL_MS);
  }
}

function mustBeEmpty(faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(faults.join('\n'));
}
