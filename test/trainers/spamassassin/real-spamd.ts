import { describe } from 'vitest';
import { PrivateSpamd } from '../../lab/private-spamd.ts';
import type { PrivateSpamdOptions } from '../../lab/private-spamd.ts';
import { findProgram } from '../../../src/servers/programs.ts';
import { needsPrograms } from '../../support/needs.ts';

const program = findProgram('spamd', process.env['PATH']);
export const SPAMD = needsPrograms('spamd', 'sa-learn');

/** `describe` for tests on the real spamd. */
export function describeReal(name: string, test: () => void): void {
  describe(name, SPAMD, test);
}

/** A private spamd with the installed program. */
export function startSpamd(options: PrivateSpamdOptions = {}): Promise<PrivateSpamd> {
  return PrivateSpamd.start({ program: program ?? 'spamd', ...options });
}
