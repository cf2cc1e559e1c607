import { afterAll, beforeAll } from 'vitest';

/** What a process that was killed in this one meets at each of its steps. */
export class Killed extends Error {
  constructor() {
    super('the process was killed');
  }
}

/**
 * What a killed process had in hand fails, and nobody hears of it; any other promise that nobody
 * cared for is a fault of the program.
 */
export function ignoreKilled(onFault: (fault: Error) => void): void {
  const onRejection = (reason: unknown): void => {
    if (!(reason instanceof Killed)) {
      onFault(reason instanceof Error ? reason : new Error(String(reason)));
    }
  };
  let others: NodeJS.UnhandledRejectionListener[] = [];
  beforeAll(() => {
    others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', onRejection);
  });
  afterAll(() => {
    process.off('unhandledRejection', onRejection);
    for (const other of others) process.on('unhandledRejection', other);
  });
}
