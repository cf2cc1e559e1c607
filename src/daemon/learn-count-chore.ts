import type { Clock } from '../clock.ts';
import type { Controller } from '../delivery/controller.ts';
import { LearnCountMonitor } from '../delivery/learn-count-monitor.ts';
import type { Log } from '../logger.ts';
import { probe } from '../status/probe.ts';
import { plural } from '../text.ts';

/**
 * Asks the controllers every few seconds how many messages they have learned: what rspamd counted ends
 * the wait of a message without proof, and what it has forgotten is logged.
 */
export class LearnCountChore {
  readonly #options: LearnCountChoreOptions;
  readonly #monitors = new Map<Controller, LearnCountMonitor>();
  /** Learns that each controller has acknowledged. */
  readonly #learns = new Map<Controller, number>();

  constructor(options: LearnCountChoreOptions) {
    this.#options = options;
  }

  /** @returns whether some message's wait is over */
  async run(signal: AbortSignal): Promise<boolean> {
    let isWaitOver = false;
    for (const controller of this.#options.controllers) {
      // Its last answers show that the password is right: a wrong one must not be repeated.
      const isUnknown = controller.state === 'starting' && controller.learns === 0;
      if (isUnknown || !controller.lacksOnlyProof) continue;
      if (await this.#ask(controller, signal)) isWaitOver = true;
    }
    return isWaitOver;
  }

  async #ask(controller: Controller, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options;
    const { trainer, counts } = controller;
    const seen = await probe(trainer, clock, signal);
    if (seen.kind !== 'answers') return false;
    this.#learns.set(controller, seen.statistics.learns ?? controller.learns);
    const learns = [...this.#learns.values()].reduce((sum, each) => sum + each, 0);
    counts.observe(seen.statistics, clock.monotonic(), learns);
    const monitor = this.#monitors.get(controller) ?? new LearnCountMonitor(counts);
    this.#monitors.set(controller, monitor);
    const missing = monitor.check();
    if (missing > 0) this.#forgot(controller, missing);
    return controller.letCountedGo();
  }

  #forgot(controller: Controller, missing: number): void {
    const { clock, log } = this.#options;
    const { name } = controller;
    controller.forgot = { missing, at: clock.wall() };
    const what = `${name} has forgotten ${plural(missing, 'learned message')}`;
    const says = `${what}; teach it again from the archive`;
    log('err', 'controller.forgot', says, { controller: name, missing });
  }
}

export interface LearnCountChoreOptions {
  readonly controllers: readonly Controller[];
  readonly clock: Clock;
  readonly log: Log;
}
