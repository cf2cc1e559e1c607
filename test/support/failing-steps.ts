import { readlinkSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { systemError, watchFileSystem } from './fs-steps.ts';
import type { FsStep } from './fs-steps.ts';

/** Lets steps on the file system fail for one test, until the returned function is called. */
export function failSteps(codeOf: (step: FsStep) => string | undefined): () => void {
  let isOver = false;
  const restore = watchFileSystem(
    (path) => path.startsWith('/proc/self/fd/') || path.includes('learnd-test-'),
    (step) => {
      const code = isOver ? undefined : codeOf(step);
      if (code !== undefined) throw systemError(code, step);
    },
  );
  onTestFinished(restore);
  return () => {
    isOver = true;
  };
}

/** The first step that fits fails with this error, and no other. */
export function failOnce(code: string, isIt: (step: FsStep) => boolean): void {
  let isMet = false;
  failSteps((step) => {
    if (isMet || !isIt(step)) return undefined;
    isMet = true;
    return code;
  });
}

/** The path that a step is about, whatever descriptor it goes by. */
export function resolved({ path }: FsStep): string {
  return path.replace(/^\/proc\/self\/fd\/\d+/, (folder) => readlinkSync(folder));
}
