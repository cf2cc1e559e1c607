import { describe } from 'vitest';
import { findProgram } from '../../src/lab/programs.ts';

/**
 * `describe` for tests that need a program. Without it they are skipped on a developer's machine
 * and fail where CI is set, so that they never vanish unseen.
 */
export function describeWith(program: string): typeof describe.skip {
  const mustRun = !['', 'false'].includes(process.env['CI'] ?? '');
  return describe.skipIf(findProgram(program, process.env['PATH']) === undefined && !mustRun);
}
