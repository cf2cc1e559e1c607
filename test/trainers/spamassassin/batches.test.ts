import { expect, test } from 'vitest';
import { Batches } from '../../../src/trainers/spamassassin/batches.ts';
import type { Call } from '../../../src/trainers/spamassassin/batches.ts';
import type { Batch } from '../../../src/trainers/spamassassin/sa-learn-run.ts';
import { NEVER } from './connect.ts';

/** Batches of which each does so many calls at most, and what they were. */
function batchesOf(most = Infinity) {
  const done: string[] = [];
  const begun: boolean[] = [];
  const perform = async ({ forgets, tasks }: Batch<Call>) => {
    begun.push(forgets);
    const names = (await tasks).map(
      ({ action, body }) => `${action} ${body.toString('latin1', 0, 8)}`,
    );
    done.push(names.join(', '));
    return names.map((name, index) => (index < most ? name : undefined));
  };
  return { begun, done, batches: new Batches(perform) };
}

function call(action: Call['action'], body: string | Buffer): Call {
  return { action, body: Buffer.from(body), signal: NEVER };
}

test('one batch has all that is to be learned, spam first, and another what is to be forgotten', async () => {
  const { batches, done } = batchesOf();
  const calls = [call('ham', 'a'), call('forget', 'b'), call('spam', 'c'), call('ham', 'd')];
  const results = await Promise.all(calls.map((each) => batches.add(each)));
  expect(results).toEqual(['ham a', 'forget b', 'spam c', 'ham d']);
  expect(done).toEqual(['spam c, ham a, ham d', 'forget b']);
});

test('begins with the first one, while others may come', async () => {
  const { batches, begun, done } = batchesOf();
  const added = [batches.add(call('spam', 'a'))];
  expect([begun, done]).toEqual([[false], []]);
  added.push(batches.add(call('ham', 'b')));
  await Promise.all(added);
  expect([begun, done]).toEqual([[false], ['spam a, ham b']]);
});

test('gathers as long as others come', async () => {
  const { batches, done } = batchesOf();
  const added: Promise<string>[] = [];
  for (const body of ['a', 'b', 'c', 'd', 'e']) {
    added.push(batches.add(call('spam', body)));
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await Promise.all(added);
  expect(done).toEqual(['spam a, spam b, spam c, spam d, spam e']);
});

test('what a batch did not come to goes again', async () => {
  const { batches, done } = batchesOf(2);
  const results = await Promise.all(
    ['a', 'b', 'c', 'd', 'e'].map((body) => batches.add(call('spam', body))),
  );
  expect(results).toEqual(['a', 'b', 'c', 'd', 'e'].map((body) => `spam ${body}`));
  expect(done.map((each) => each.split(', ').length)).toEqual([5, 3, 1]);
});

test('takes ten megabytes at most, and what is larger alone', async () => {
  const { batches, done } = batchesOf();
  const large = (name: string, bytes: number) =>
    batches.add(call('spam', Buffer.alloc(bytes, name.repeat(8))));
  await Promise.all([
    large('a', 6_000_000),
    large('b', 4_000_000),
    large('c', 1),
    large('d', 11_000_000),
  ]);
  expect(done).toEqual(['spam aaaaaaaa, spam bbbbbbbb', 'spam c', 'spam dddddddd']);
});
