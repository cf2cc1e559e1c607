import { Bugs } from '../../src/bugs.ts';
import { Controller } from '../../src/delivery/controller.ts';
import { DiskFaults } from '../../src/spool/disk-faults.ts';
import { LogRecorder } from './log-recorder.ts';
import { ManualClock } from './manual-clock.ts';
import type { ScriptedTrainer } from './scripted-trainer.ts';

/** What a part of the program is tried on: time and chance of the test's, a log that is kept, scripted controllers. */
export class Bench {
  readonly clock = new ManualClock();
  readonly recorder = new LogRecorder();
  readonly log = this.recorder.log;
  readonly random = (): number => 0.5;
  readonly bugs = new Bugs(this);
  readonly faults = new DiskFaults(this);
  readonly trainers: readonly ScriptedTrainer[];
  readonly controllers: readonly Controller[];
  /** Time that passes with a turn of the event loop. */
  protected readonly stepMs: number = 10;

  constructor(trainers: readonly ScriptedTrainer[] = []) {
    const { clock, log, random } = this;
    this.trainers = trainers;
    this.controllers = trainers.map((trainer) => new Controller({ trainer, clock, random, log }));
  }

  /** The first trainer: the only one unless there are several. */
  get trainer(): ScriptedTrainer {
    const [first] = this.trainers;
    if (first === undefined) throw new Error('there is no trainer');
    return first;
  }

  get controller(): Controller {
    const [first] = this.controllers;
    if (first === undefined) throw new Error('there is no controller');
    return first;
  }

  /** Lets time flow until `isSo`. */
  flowUntil(what: string, isSo: () => boolean, stepMs = this.stepMs): Promise<void> {
    return this.clock.flowUntil(what, isSo, stepMs);
  }
}
