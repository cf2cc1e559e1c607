import { expect, test } from 'vitest';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import type { FsStep } from '../../support/fs-steps.ts';
import { ignoreKilled } from '../killed.ts';
import { faultsOf, kindOf } from './faults.ts';
import type { Fault } from './faults.ts';
import { run } from './run.ts';
import { SCENARIOS } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';

/**
 * Every step of the daemon on the file system fails in turn, with every error that it can meet,
 * once or for 20 seconds, or is its last one before another daemon starts, in every scenario (long);
 * or so often of each kind of step (short, middle). It says what is wrong, goes on within ten seconds
 * after that is over, blames no message, and has learned everything in the end.
 */

let fault: Error | undefined;
ignoreKilled((each) => (fault ??= each));

/** Times that each kind of step meets each error; less than once is not all of them. */
const TIMES = byLength({ short: 0.25, middle: 1, long: Infinity });
const chance = chanceFor('syscalls', 324_492_403);

interface Plan {
  readonly scenario: Scenario;
  readonly tookMs: number;
  readonly faults: Fault[];
}

let plans: Promise<ReadonlyMap<string, Plan>> | undefined;

/** Runs every scenario undisturbed, and spreads the faults over them. */
async function makePlans(): Promise<ReadonlyMap<string, Plan>> {
  const made = new Map<string, Plan>();
  const kinds = new Map<string, { readonly plan: Plan; readonly fault: Fault }[]>();
  for (const scenario of SCENARIOS) {
    const { complaints, steps, tookMs } = await run(scenario);
    expect(complaints).toEqual([]);
    const plan: Plan = { scenario, tookMs, faults: [] };
    made.set(scenario.name, plan);
    for (const fault of faultsOf(steps)) {
      const step = steps[fault.step];
      if (step === undefined || hidesTwin(scenario, step, fault)) continue;
      const kind = `${kindOf(step)} ${fault.code} ${fault.when}`;
      const all = kinds.get(kind) ?? [];
      all.push({ plan, fault });
      kinds.set(kind, all);
    }
  }
  for (const all of kinds.values()) {
    const times = TIMES < 1 ? Number(chance.next() < TIMES) : Math.min(TIMES, all.length);
    for (let i = 0; i < times; i += 1) {
      const [one] = all.splice(chance.below(all.length), 1);
      one?.plan.faults.push(one.fault);
    }
  }
  return made;
}

/**
 * Not promised: without permission for one class folder, or where the system says that it holds no
 * such file, the other one goes on, and doesn't see that the first one holds an older verdict of the
 * same name (docs/reliability.md).
 */
function hidesTwin({ name }: Scenario, { call, path }: FsStep, { code }: Fault): boolean {
  if (!name.startsWith('twins')) return false;
  if (code === 'ENOENT') return call === 'lstatSync' && /^LIB\/(spam|ham)\/a$/.test(path);
  if (code !== 'EACCES') return false;
  return call === 'renameSync'
    ? /^LIB\/(spam|ham)\/\.kopano-learnd-probe$/.test(path)
    : ['openSync', 'opendirSync', 'fstatSync'].includes(call) && /^LIB\/(spam|ham)$/.test(path);
}

test.each(SCENARIOS)(
  'whatever fails: $name',
  { timeout: byLength({ short: 300_000, middle: 900_000, long: 7_200_000 }) },
  async ({ name }) => {
    const plan = (await (plans ??= makePlans())).get(name);
    if (plan === undefined) throw new Error('there is no plan');
    const complaints: string[] = [];
    let injections = 0;
    for (const fault of plan.faults) {
      const result = await run(plan.scenario, fault, plan.tookMs);
      complaints.push(...result.complaints);
      injections += result.injections;
    }
    process.stdout.write(`${name}: ${plan.faults.length} runs, ${injections} failed steps\n`);
    expect(complaints).toEqual([]);
    expect(fault).toBeUndefined();
    expect(injections).toBeGreaterThan(0);
  },
);
