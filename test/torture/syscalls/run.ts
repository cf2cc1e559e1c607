import type { FsStep } from '../../support/fs-steps.ts';
import { STARTS, faultyPlaces } from '../../support/spool-files.ts';
import { KILL } from './faults.ts';
import type { Fault } from './faults.ts';
import { TODAY } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { SyscallsWorld, isOperatorError, nameIn } from './world.ts';

/**
 * Takes a scenario from its start until everything is learned and the daemon has stopped, with or
 * without a fault on the way, and says what about it was not as it is promised.
 */
interface Run {
  /** Every step of the daemon, in order. */
  readonly steps: readonly FsStep[];
  /** Until everything was learned, on the run's clock. */
  readonly tookMs: number;
  readonly injections: number;
  readonly complaints: readonly string[];
}

/** What the issue grants after the cause is gone. */
const RECOVERY_MS = 10_000;
/**
 * A file that is said not to be there is no fault but an answer: it is not looked for again before
 * the next sweep (30 s) has come upon it.
 */
const SWEEP_MS = 30_000;
/** How often a pass that left something is repeated; what it was told isn't there, it can't miss. */
const CRON_MS = 5_000;
const STOP_MS = 6_000;
const MOST_LINES = 60;
const ENDS = new Set(['message.learned', 'message.duplicate', 'message.withdrawn']);

export async function run(
  scenario: Scenario,
  fault?: Fault,
  undisturbedMs = RECOVERY_MS,
): Promise<Run> {
  const { settings = {}, elsewhere = false, once = false } = scenario;
  using world = new SyscallsWorld({ settings, elsewhere, once, fault });
  for (const act of scenario.before) act(world);
  const complaints: string[] = [];
  const meanwhile = [...(scenario.meanwhile ?? [])];
  const isOver = (): boolean => {
    const [when, ...acts] = meanwhile[0] ?? [];
    if (when?.(world) === true) {
      meanwhile.shift();
      for (const act of acts) act(world);
    }
    keepRunning(world, scenario, fault, complaints);
    return meanwhile.length === 0 && isDone(world, scenario);
  };
  const patience = RECOVERY_MS + undisturbedMs + (fault?.code === 'ENOENT' ? SWEEP_MS : 0);
  const isInTime = await world.flowUntil(
    isOver,
    () => (world.wasMet ? (world.healedAt ?? Infinity) : undisturbedMs) + patience,
  );
  const tookMs = world.clock.monotonic();
  if (!isInTime) complaints.push(`not over in time: ${whatIsLeft(world, scenario)}`);
  if (world.wasMet) await world.flowUntil(() => world.healedAt !== undefined);
  // What was raised is to be taken back, also where nothing is left to be done.
  const unsaid = (): string[] => unsaidOf(world, scenario, fault);
  const healed = world.healedAt ?? 0;
  await world.flowUntil(
    () => unsaid().length === 0,
    () => Math.max(healed + RECOVERY_MS, tookMs),
  );
  complaints.push(...unsaid());
  if (isInTime) complaints.push(...complaintsOf(world, scenario));
  world.stop();
  const end = world.clock.monotonic() + STOP_MS;
  const isStopped = (): boolean => !world.isRunning;
  if (!(await world.flowUntil(isStopped, () => end))) complaints.push('it does not stop');
  complaints.push(...world.violations);
  if (world.repeated > 1) complaints.push(`${world.repeated} messages were learned again`);
  const open = world.descriptors;
  if (open.length > 0 && fault?.code !== KILL) complaints.push(`left open: ${open.join(', ')}`);
  const about = fault === undefined ? '' : aboutOf(scenario, fault, world.target);
  return {
    steps: world.steps,
    tookMs,
    injections: world.injections,
    complaints: complaints.map((complaint) => `${about}${complaint}`),
  };
}

function aboutOf(scenario: Scenario, fault: Fault, target: string): string {
  const how = fault.lasts ? 'for 20 s' : 'once';
  return `${scenario.name}, step ${fault.step} (${target}), ${fault.code} ${fault.when} it ${how}: `;
}

/** Starts it, and again where it may have ended: a pass, or a fault that only an operator mends. */
function keepRunning(
  world: SyscallsWorld,
  scenario: Scenario,
  fault: Fault | undefined,
  complaints: string[],
): void {
  if (world.isRunning) return;
  const last = world.ends.at(-1);
  if (world.ends.length === 0 || last === KILL) world.start();
  else if (isOperatorError(last) && last.exitCode === 78 && fault?.code === 'EACCES') {
    if (world.healedAt !== undefined) world.start();
  } else if (scenario.once === true && (last === 75 || fault?.code === 'ENOENT')) {
    if (world.clock.monotonic() - world.endedAt >= CRON_MS) world.start();
  } else if (scenario.once === true && last === 0) {
    if (!isDone(world, scenario) && complaints.length === 0) {
      complaints.push(`exit 0, but there is left: ${whatIsLeft(world, scenario)}`);
    }
  } else if (complaints.length === 0) {
    complaints.push(`ended: ${last instanceof Error ? (last.stack ?? '') : String(last)}`);
  }
}

function isDone(world: SyscallsWorld, scenario: Scenario): boolean {
  return whatIsLeft(world, scenario) === '' && scenario.isOver?.(world) !== false;
}

/** What is not yet where it belongs; empty when all is. */
function whatIsLeft(world: SyscallsWorld, scenario: Scenario): string {
  const unlearned = Object.entries(scenario.learned).flatMap(([name, verdict]) => {
    const memory = world.trainer.memory.get(name) ?? 'nothing';
    return memory === verdict ? [] : [`${name} is ${memory}`];
  });
  const quarantined = (scenario.quarantined ?? []).filter(
    (place) => world.read(`quarantine/${place}`) === undefined,
  );
  return [
    ...unlearned,
    ...world.filesIn('drop', 'staged', 'queue', 'release', 'tmp'),
    ...quarantined.map((place) => `${place} is not in quarantine`),
  ].join(', ');
}

/** What the log should have said by now. A pass may be over before all of it is known. */
function unsaidOf(world: SyscallsWorld, scenario: Scenario, fault?: Fault): string[] {
  if (scenario.once === true) return [];
  const complaints = faultyPlaces(world.lines).map((place) => `${place} is not said to work again`);
  // What was said not to be there may be taken for withdrawn, and found; the dead say nothing.
  if (fault?.code === 'ENOENT' || fault?.code === KILL) return complaints;
  for (const name of Object.keys(scenario.learned)) {
    const ends = world.lines.filter(
      ({ event, fields }) => ENDS.has(event) && fields['file'] === name,
    );
    const last = ends.at(-1)?.event;
    if (last === undefined) complaints.push(`${name}'s end is not said`);
    if (last === 'message.withdrawn') complaints.push(`${name} is said to be withdrawn`);
  }
  return complaints;
}

function complaintsOf(world: SyscallsWorld, scenario: Scenario): string[] {
  return [...lostOrSpoilt(world, scenario), ...wronglyBlamed(world, scenario), ...badlySaid(world)];
}

function lostOrSpoilt(world: SyscallsWorld, scenario: Scenario): string[] {
  const complaints: string[] = [];
  for (const { name, text } of world.trainer.posts) {
    if (world.bodies.get(name)?.has(text) !== true) complaints.push(`posted spoilt: ${text}`);
  }
  if (scenario.settings?.['LEARN_AFTER'] !== 'archive') return complaints;
  for (const [name, verdict] of Object.entries(scenario.learned)) {
    const other = verdict === 'spam' ? 'ham' : 'spam';
    const kept = world.read(`archive/${verdict}/${TODAY}/${name}`);
    if (kept === undefined || nameIn(kept) !== name || world.bodies.get(name)?.has(kept) !== true) {
      complaints.push(`${name} is not in the archive as it was`);
    }
    if (world.read(`archive/${other}/${TODAY}/${name}`) !== undefined) {
      complaints.push(`${name} is in the archive twice`);
    }
  }
  return complaints;
}

function wronglyBlamed(world: SyscallsWorld, scenario: Scenario): string[] {
  const expected = (scenario.quarantined ?? []).flatMap((place) => [place, `${place}.json`]);
  const found = world.filesIn('quarantine');
  const complaints =
    found.sort().join() === expected.sort().join() ? [] : [`in quarantine: ${found.join(', ')}`];
  for (const event of [
    'message.deferred',
    'controller.down',
    'controller.unproven',
    'daemon.bug',
  ] as const) {
    if (world.lines.some((line) => line.event === event)) complaints.push(`said: ${event}`);
  }
  return complaints;
}

function badlySaid(world: SyscallsWorld): string[] {
  const complaints: string[] = [];
  const said = new Map<string, number>();
  for (const { event, fields, at } of world.lines) {
    if (STARTS.has(event)) said.clear();
    if (event !== 'disk.fault') continue;
    const what = `${String(fields['place'])} ${String(fields['code'])}`;
    const last = said.get(what);
    if (last !== undefined && at - last < 60_000) complaints.push(`said again: ${what}`);
    said.set(what, at);
  }
  if (world.lines.length > MOST_LINES) complaints.push(`${world.lines.length} lines`);
  return complaints;
}
