import { presentable } from '../reason.ts';
import type { Blameless } from './answers.ts';

/** Whether SpamAssassin can learn at all. */
export type Diagnosis = Blameless | { readonly kind: 'works' };

/** A diagnosis that several who ask for it at the same time share. */
export class SharedDiagnosis {
  readonly #diagnose: (signal: AbortSignal) => Promise<Diagnosis>;
  #underWay: Promise<Diagnosis> | undefined;

  constructor(diagnose: (signal: AbortSignal) => Promise<Diagnosis>) {
    this.#diagnose = diagnose;
  }

  async ask(signal: AbortSignal): Promise<Diagnosis> {
    this.#underWay ??= this.#diagnose(signal).finally(() => (this.#underWay = undefined));
    const diagnosis = await this.#underWay;
    // Who began it gave up; we didn't.
    if (diagnosis.kind === 'aborted' && !signal.aborted) return this.ask(signal);
    if (!('reason' in diagnosis)) return diagnosis;
    return { ...diagnosis, reason: presentable(diagnosis.reason, Buffer.alloc(0)) };
  }
}
