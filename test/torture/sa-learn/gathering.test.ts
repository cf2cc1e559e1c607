import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SaLearn } from '../../../src/trainers/spamassassin/sa-learn-run.ts';
import type { Task } from '../../../src/trainers/spamassassin/sa-learn-run.ts';
import { until } from '../../support/until.ts';
import { NEVER } from '../../trainers/spamassassin/connect.ts';
import { FakeSaLearn } from './fake-sa-learn.ts';

/** What goes wrong while an `sa-learn` that has started waits for messages that still gather. */

const TASKS = ['a', 'b'].map((body): Task => ({ action: 'spam', body: Buffer.from(body) }));
const LEARNED = { kind: 'done', effects: ['changed', 'changed'] };

/** A run whose messages come when `gather` is called, and what its program says at its start. */
async function startedRun(start = '', signal = NEVER, patienceMs?: number) {
  const fake = new FakeSaLearn();
  const { program, temporary } = fake;
  fake.start = `put('started', ''); ${start}`;
  const options = { program, temporary, patienceMs };
  const saLearn = new SaLearn(options);
  let gather: (tasks: readonly Task[]) => void = () => undefined;
  const tasks = new Promise<readonly Task[]>((resolve) => (gather = resolve));
  const result = saLearn.run({ forgets: false, tasks }, signal);
  await until('it has started', () => existsSync(join(fake.folder, 'started')));
  const next = () => {
    fake.start = '';
    options.patienceMs = undefined;
    return saLearn.run({ forgets: false, tasks: Promise.resolve(TASKS) }, NEVER);
  };
  return { fake, gather, result, next };
}

/** What is left of the messages. */
function left({ temporary }: FakeSaLearn): readonly string[] {
  return readdirSync(temporary, { recursive: true, encoding: 'utf8' });
}

/** There is no room for a message, as when the place is full. */
function fill({ temporary }: FakeSaLearn): void {
  for (const name of readdirSync(temporary)) rmSync(join(temporary, name), { recursive: true });
}

test('what is aborted then is learned by nobody, and the next run learns', async () => {
  const stop = new AbortController();
  const { fake, gather, result, next } = await startedRun('', stop.signal);
  stop.abort();
  gather(TASKS);
  expect(await result).toEqual({ kind: 'aborted' });
  expect(fake.runs).toEqual([{ action: '', bodies: [] }]);
  expect(left(fake)).toEqual([]);
  expect(await next()).toEqual(LEARNED);
});

test('what is aborted while it is written is written no further, and is learned by nobody', async () => {
  const stop = new AbortController();
  const { fake, gather, result } = await startedRun('', stop.signal);
  let isWritten = false;
  const aborts: Task = {
    action: 'spam',
    get body() {
      stop.abort();
      return Buffer.from('a');
    },
  };
  const last: Task = {
    action: 'spam',
    get body() {
      isWritten = true;
      return Buffer.from('b');
    },
  };
  gather([aborts, last]);
  expect(await result).toEqual({ kind: 'aborted' });
  expect([isWritten, fake.known, left(fake)]).toEqual([false, {}, []]);
});

test('where there is no room for them nobody is charged, and the next run learns', async () => {
  const { fake, gather, result, next } = await startedRun();
  fill(fake);
  gather(TASKS);
  const text = expect.stringContaining(`in ${fake.temporary} (ENOENT)`) as string;
  expect(await result).toMatchObject({ kind: 'fault', code: 'TEMPORARY', text });
  expect([fake.known, left(fake)]).toEqual([{}, []]);
  expect(await next()).toEqual(LEARNED);
});

test('where there is no room for them, and it does not end, the next run waits no longer than its time', async () => {
  const hangs = '$SIG{TERM} = sub { exit 0 }; sleep 60 while 1;';
  const { fake, gather, result, next } = await startedRun(hangs, NEVER, 500);
  fill(fake);
  gather(TASKS);
  expect(await result).toMatchObject({ kind: 'fault', code: 'TEMPORARY' });
  expect(await next()).toEqual(LEARNED);
});

test('where it ends before they have come, that is told, and none of them is left', async () => {
  const { fake, gather, result } = await startedRun('end(1, "use_bayes 0");');
  expect(await result).toMatchObject({ kind: 'fault', code: 1, text: 'use_bayes 0' });
  gather(TASKS);
  await new Promise((resolve) => setImmediate(resolve));
  expect([fake.known, left(fake)]).toEqual([{}, []]);
});
