import { rmSync } from 'node:fs';
import { makeMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import type { KillStage } from './stage.ts';

/**
 * The ways that a message can take. Each is a story on a spool of its own: what lies there before
 * the program starts, and what users do meanwhile.
 */
export interface Scenario {
  /** Completes "killed at any step while ...". */
  readonly name: string;
  /** The state dir lies on another file system than the spool. */
  readonly elsewhere?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
  /** What is started and killed; after a command the daemon does the rest. @defaultValue watch */
  readonly args?: readonly string[];
  /** Also the steps that are no message's: the start, the looks at folders, the stop. */
  readonly thorough?: boolean;
  /** Steps that the shortest run kills at, too: those that matter most. */
  readonly always: readonly [string, ...string[]];
  /** Places the files before the start, and says what is done meanwhile. */
  readonly tell: (stage: KillStage) => Promise<void> | void;
}

const MINUTE_MS = 60_000;

function minutesAgo(minutes: number): Date {
  return new Date(Date.now() - minutes * MINUTE_MS);
}

/** One of each verdict; `again` is the first one's name with other words in it. */
const SPAM = makeMessage('spam', 1);
const HAM = makeMessage('ham', 2);
const AGAIN: MadeMessage = { ...makeMessage('spam', 3), name: SPAM.name };
/** More than two of the pieces in which files are copied. */
const LARGE: MadeMessage = {
  ...SPAM,
  raw: Buffer.concat([SPAM.raw, Buffer.alloc(2_500_000, 'and so on and on\r\n')]),
};
const EMPTY: MadeMessage = { ...HAM, raw: Buffer.alloc(0) };

/** Time enough for a writer that is at work beside the daemon on a busy machine. */
const WRITTEN_MEANWHILE = { LEARN_SETTLE_MS: '2000' };

function reasonOf({ name }: MadeMessage): string {
  return JSON.stringify({ name, verdict: 'spam', reason: 'a test', attempts: 1 });
}

/** An older verdict lies in quarantine. */
function quarantine(stage: KillStage, message: MadeMessage): void {
  stage.tell(message, 'spam');
  stage.spool.putMarked('quarantine/spam', message.name, message.raw, minutesAgo(9));
  stage.spool.put('quarantine/spam', `${message.name}.json`, reasonOf(message), minutesAgo(9));
}

/** Both class folders hold the message: the newer one is the user's last word. */
function twins(stage: KillStage): void {
  for (const [verdict, minutes] of [
    ['spam', 2],
    ['ham', 1],
  ] as const) {
    stage.tell(SPAM, verdict);
    stage.spool.putMarked(`drop/${verdict}`, SPAM.name, SPAM.raw, minutesAgo(minutes));
  }
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'messages are learned and removed',
    thorough: true,
    always: ['before POST /learnspam #1', 'after unlinkSync queue/spam/* #1'],
    tell: async (stage) => {
      await stage.judge(SPAM);
      await stage.judge(HAM);
    },
  },
  {
    name: 'messages are learned and archived',
    settings: { LEARN_AFTER: 'archive' },
    always: ['before renameSync queue/spam/* #1'],
    tell: async (stage) => {
      // The other verdict's copy of this day has to go, and one that is too old.
      const today = new Date().toISOString().slice(0, 10);
      stage.spool.put(`archive/ham/${today}`, SPAM.name, SPAM.raw, minutesAgo(30));
      stage.spool.put('archive/ham/2020-01-31', HAM.name, HAM.raw, minutesAgo(30));
      await stage.judge(SPAM);
      await stage.judge(HAM);
      for (const message of [SPAM, HAM]) stage.endsAs(message, 'archived');
    },
  },
  {
    name: 'a verdict is turned whose message waits in the queue',
    always: ['after unlinkSync queue/spam/* #1'],
    tell: async (stage) => {
      stage.tell(SPAM, 'spam');
      // Not marked, so that the newer one, which is, comes first.
      stage.spool.put('queue/spam', SPAM.name, SPAM.raw, minutesAgo(9));
      await stage.judge(SPAM, 'ham');
    },
  },
  {
    name: 'a verdict is turned whose message lies in quarantine',
    always: ['after unlinkSync quarantine/spam/* #1'],
    tell: async (stage) => {
      quarantine(stage, SPAM);
      await stage.judge(SPAM, 'ham');
    },
  },
  {
    name: 'a verdict is turned while its message is in flight',
    settings: WRITTEN_MEANWHILE,
    always: ['sent POST /learnspam #2'],
    tell: async (stage) => {
      await stage.judge(SPAM);
      stage.onPost(SPAM, 'spam', () => stage.judge(SPAM, 'ham'));
    },
  },
  {
    name: 'a message is judged again while it is in flight',
    settings: WRITTEN_MEANWHILE,
    always: ['answered POST /learnspam #2'],
    tell: async (stage) => {
      await stage.judge(SPAM);
      stage.onPost(SPAM, 'spam', () => stage.judge(AGAIN, 'spam'));
    },
  },
  {
    name: 'both class folders hold a message',
    always: ['after renameSync drop/spam/* #1'],
    tell: twins,
  },
  {
    name: 'the queue and the releases hold what an earlier daemon left',
    thorough: true,
    always: ['after renameSync release/ham/* #1'],
    tell: (stage) => {
      for (const [place, message] of [
        ['queue/spam', SPAM],
        ['release/ham', HAM],
      ] as const) {
        stage.tell(message, message.verdict);
        stage.spool.putMarked(place, message.name, message.raw, minutesAgo(9));
      }
      stage.spool.put('quarantine/ham', `${HAM.name}.json`, reasonOf(HAM), minutesAgo(9));
    },
  },
  {
    name: 'messages are quarantined',
    settings: { LEARN_MAX_BYTES: '2000000' },
    always: ['after renameSync tmp/*.json #1', 'after renameSync queue/spam/* #1'],
    tell: async (stage) => {
      await stage.judge(LARGE);
      stage.tell(EMPTY, 'ham');
      stage.spool.putMarked('queue/ham', EMPTY.name, EMPTY.raw, minutesAgo(9));
      for (const message of [LARGE, EMPTY]) stage.endsAs(message, 'quarantined');
    },
  },
  {
    name: 'a command releases a message from quarantine',
    thorough: true,
    args: ['quarantine', 'release', '--all'],
    always: ['after renameSync quarantine/spam/* #1'],
    tell: (stage) => {
      quarantine(stage, SPAM);
      stage.spool.makeRelease();
    },
  },
  {
    name: 'a message is withdrawn',
    always: ['sent POST /learnspam #1'],
    tell: async (stage) => {
      await stage.judge(SPAM);
      stage.endsAs(SPAM, 'withdrawn');
      stage.onPost(SPAM, 'spam', () => {
        for (const { path } of stage.spool.found()) rmSync(path, { force: true });
      });
    },
  },
  {
    name: 'messages come from another file system',
    thorough: true,
    elsewhere: true,
    always: ['after FileHandle.writeFile tmp/* #1', 'before renameSync tmp/* #1'],
    tell: async (stage) => {
      await stage.judge(LARGE);
      await stage.judge(HAM);
    },
  },
  {
    name: 'a verdict is turned that is half-way between two file systems',
    elsewhere: true,
    always: ['after unlinkSync drop/spam/.learnd-* #1'],
    tell: async (stage) => {
      stage.tell(SPAM, 'spam');
      stage.spool.put('staged/spam', SPAM.name, SPAM.raw, minutesAgo(9));
      stage.spool.put('tmp', SPAM.name, SPAM.raw.subarray(0, 100), minutesAgo(9));
      await stage.judge(SPAM, 'ham');
    },
  },
  {
    name: 'both class folders hold a message, on another file system',
    elsewhere: true,
    always: ['after renameSync drop/spam/* #1'],
    tell: twins,
  },
];
