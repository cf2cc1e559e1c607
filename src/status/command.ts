import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { FINAL_RESULTS } from '../delivery/result.ts';
import { FILTERS, FILTER_TITLES, perFilter } from '../filter.ts';
import type { Filter } from '../filter.ts';
import { clean, plural, tableRow, wrap } from '../text.ts';
import { createTrainers } from '../trainers/create.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import { classesOf, ofClass, perClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import { askStatus } from './ask.ts';
import { countPlace, countSpool } from './counts.ts';
import type { CountFaults } from './counts.ts';
import type { ControllerReport } from './reports.ts';
import { learnedIn, learnedOf, obstacleIn, probe } from './probe.ts';
import { learnedWords, reasonsOf, stateOf } from './words.ts';

/**
 * `kopano-learnd status`: what waits in the folders, what the running daemon has done since its
 * start, and what rspamd says. It counts and asks by itself, so that it works without a daemon; it
 * makes nothing and changes nothing.
 */
interface StatusOptions {
  readonly config: Config;
  /** One JSON object instead of a text. */
  readonly json: boolean;
  /** How wide the text may be. */
  readonly columns: number;
  readonly out: (text: string) => void;
  readonly stop: AbortSignal;
}

/** What `status --json` prints, and what its text is made of; `null` stands for what isn't known. */
export type Overview = Awaited<ReturnType<typeof overviewOf>>;

/** @returns 0, whatever it finds; 1 when it was stopped */
export async function status({
  config,
  json,
  columns,
  out,
  stop,
}: StatusOptions): Promise<ExitCode> {
  const overview = await overviewOf(config, stop);
  // What was cut short was not answered, and must not be told as such.
  if (stop.aborted) return EXIT.failure;
  out(
    json
      ? `${JSON.stringify(overview, undefined, 2)}\n`
      : overviewText(overview, columns, systemClock.wall()),
  );
  return EXIT.done;
}

async function overviewOf(config: Config, stop: AbortSignal) {
  const { spool } = config;
  const asked = daemonOf(config, stop).then(async (daemon) => ({
    daemon,
    // A running daemon has its own settings, the password among them.
    controllers:
      daemon.kind === 'running' ? daemon.report.controllers : await askControllers(config, stop),
  }));
  const faults: CountFaults = new Map();
  const counts = await countSpool(spool, faults);
  const archived = await countPlace(spool, 'archive', faults);
  const { daemon, controllers } = await asked;
  const learned = learnedOf(controllers);
  const missing = (verdict: Verdict): number | null => {
    const count = learned[verdict] ?? null;
    return count === null ? null : Math.max(0, MIN_LEARNS - count);
  };
  return {
    spool: spool.libDir,
    stateDir: spool.stateDir,
    ...counts,
    archived,
    /** Folders that can't be counted. */
    faults: [...faults].map(([path, code]) => ({ path, code })),
    daemon,
    ...perFilter((filter) => reachOf(filter, controllers)),
    bayes: {
      learned,
      minLearns: MIN_LEARNS,
      missing: perClass(spool.verdicts, missing),
    },
  };
}

function reachOf(filter: Filter, controllers: readonly Asked[]) {
  return controllers
    .filter(({ trainer }) => trainer === filter)
    .map(({ name, obstacle }) => ({
      name,
      /** It answers, and would learn; rspamd shows its statistics with a Bayes backend in them. */
      reachable: obstacle === null,
      obstacle,
    }));
}

type Asked = Pick<ControllerReport, 'name' | 'trainer' | 'obstacle'>;

/** The daemon of this spool. */
async function daemonOf(config: Config, stop: AbortSignal) {
  const { spool } = config;
  const answer = await askStatus(config, stop);
  if (answer.kind !== 'running') return { kind: 'unknown', reason: answer.reason } as const;
  const { report } = answer;
  if (report.spool === spool.libDir && report.stateDir === spool.stateDir) return answer;
  const places = `${report.spool} and ${report.stateDir}`;
  const reason = `the one that runs has another spool or state dir (${places})`;
  return { kind: 'unknown', reason } as const;
}

function askControllers(config: Config, stop: AbortSignal) {
  return Promise.all(
    createTrainers(config).map(async (trainer) => {
      const seen = await probe(trainer, systemClock, stop);
      return {
        name: trainer.name,
        trainer: trainer.filter,
        obstacle: obstacleIn(seen),
        bayes: learnedIn(seen),
      };
    }),
  );
}

// --- the text

const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'missing',
  EACCES: "may not be read (EACCES): run this as root, or as the daemon's user",
};

function overviewText(overview: Overview, columns: number, now: number): string {
  const { dropped, queued, quarantined, released, archived, faults } = overview;
  // What is missing holds nothing.
  const isCounted = faults.every(({ code }) => code === 'ENOENT');
  const lines = [
    `spool: ${overview.spool}`,
    `state dir: ${overview.stateDir}`,
    '',
    ...table(
      '',
      [
        ['dropped', dropped, 'not taken yet'],
        ['queued', queued, 'taken, not learned yet'],
        ['quarantined', quarantined, 'kopano-learnd quarantine list'],
        ['released', released, 'from there, not taken yet'],
        ['archived', archived, ''],
      ],
      isCounted ? ['  no message is here'] : [],
    ),
    ...faultLines(overview),
    '',
    ...daemonLines(overview.daemon, now),
    '',
    ...FILTERS.flatMap((filter) =>
      overview[filter].map(
        ({ name, obstacle }) => `${FILTER_TITLES[filter]} at ${name}: ${obstacle ?? 'reachable'}`,
      ),
    ),
    ...(overview.rspamd.length === 0 ? [] : bayesLines(overview.bayes)),
    ...(hasJustLearned(overview.daemon, now) ? [LATE] : []),
  ];
  return lines.map((line) => `${wrap(clean(line, Infinity), columns, '    ')}\n`).join('');
}

/** A state dir that no daemon has used yet is told once, whichever of its folders are missing. */
function faultLines({ stateDir, faults }: Overview): string[] {
  const isUnused = ({ path, code }: Overview['faults'][number]): boolean =>
    code === 'ENOENT' && (path === stateDir || path.startsWith(`${stateDir}/`));
  const lines = faults
    .filter((each) => !isUnused(each))
    .map(({ path, code }) => `  ${path}: ${FAULTS[code] ?? code}`);
  if (!faults.some(isUnused)) return lines;
  const isThere = !faults.some(({ path }) => path === stateDir);
  return [...lines, `  the state dir is ${isThere ? 'empty' : 'not there'} yet: no daemon has run`];
}

/** rspamd reads its count of Redis every 30 to 60 s. */
const COUNT_AGE_MS = 60_000;
const LATE = '  what rspamd learned in the last minute may not be counted there yet';

/** rspamd has shown that it remembers a message, perhaps after its last count. */
function hasJustLearned(daemon: Overview['daemon'], now: number): boolean {
  if (daemon.kind === 'unknown') return false;
  return daemon.report.controllers.some(
    ({ trainer, lastProofAt }) =>
      trainer === 'rspamd' && lastProofAt !== null && now - Date.parse(lastProofAt) < COUNT_AGE_MS,
  );
}

function bayesLines({ learned, minLearns, missing }: Overview['bayes']): string[] {
  return classesOf(missing).map(
    (verdict) => `bayes, ${verdict}: ${learnedWords(learned[verdict] ?? null, minLearns)}`,
  );
}

function daemonLines(daemon: Overview['daemon'], now: number): string[] {
  if (daemon.kind === 'unknown') return [`daemon: ${daemon.reason}`];
  const { report } = daemon;
  const { trainers, userless } = report;
  return [
    `daemon: ${stateOf(report, now)}`,
    ...reasonsOf(report).map((reason) => `  ${reason}`),
    ...trainers.flatMap((each) => {
      const { messages } = each;
      const title = trainers.length > 1 ? FILTER_TITLES[each.trainer] : 'since its start';
      const rows = FINAL_RESULTS.map((result): Row => [
        result,
        perClass(classesOf(messages), (verdict) => ofClass(messages, verdict)[result]),
        '',
      ]);
      const open = [
        ...((each.deferred ?? 0) > 0 ? [`${each.deferred ?? 0} deferred`] : []),
        ...((each.inFlight ?? 0) > 0 ? [`${each.inFlight ?? 0} in flight`] : []),
      ];
      return [
        ...table(title, rows, [`  ${title}: no message`]),
        ...(open.length === 0 ? [] : [`  ${open.join(', ')}`]),
      ];
    }),
    ...((userless ?? 0) > 0
      ? [
          `  ${plural(userless ?? 0, 'message')} without a user: no field of LEARN_USER_HEADER names one`,
        ]
      : []),
  ];
}

type Row = readonly [name: string, numbers: PerClass<number | null>, note: string];

/** What is neither zero nor wholly unknown: of that, the folders tell. */
function table(title: string, rows: readonly Row[], none: readonly string[]): string[] {
  const shown = rows.filter(([, numbers]) => isTold(Object.values(numbers)));
  if (shown.length === 0) return [...none];
  const verdicts = rows[0] === undefined ? [] : classesOf(rows[0][1]);
  const widths = [19, ...verdicts.map((each) => -Math.max(8, each.length))];
  const head = tableRow([`  ${title}`, ...verdicts], widths);
  return [
    head,
    ...shown.map(([name, numbers, note]) => {
      const cells = verdicts.map((verdict) => String(numbers[verdict] ?? '?'));
      return tableRow([`  ${name}`, ...cells, note], widths);
    }),
  ];
}

function isTold(numbers: readonly (number | null)[]): boolean {
  const [first, ...others] = numbers;
  return numbers.some((each) => (each ?? 0) > 0) || others.some((each) => each !== first);
}
