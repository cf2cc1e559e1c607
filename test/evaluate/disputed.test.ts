import { expect, test } from 'vitest';
import { Collection } from '../../src/evaluate/collection.ts';
import { describeDisputed, rankDisputed } from '../../src/evaluate/disputed.ts';
import type { BaseVerdict } from '../../src/verdict.ts';
import { temporaryFolder } from '../support/temporary.ts';

type Row = readonly [verdict: BaseVerdict, sender: string, probability: number];

/** Messages by sender and verdict, with how likely Bayes thinks each spam. */
function rank(rows: readonly Row[]) {
  const collection = new Collection(temporaryFolder());
  for (const [index, [verdict, sender]] of rows.entries()) {
    const senderKey = sender === 'unknown' ? 0 : sender.charCodeAt(0);
    const keys = { idKey: 0, contentKey: index + 1, senderKey };
    const note = { place: `/${index}`, isAlone: true, sender, subject: '' };
    collection.add(verdict, Buffer.from(`${index}`), 1_000 * index, note, keys);
  }
  const { messages } = collection;
  const opinions = rows.map(([, , probability]) => probability);
  const ranked = rankDisputed(collection, { messages, opinions });
  const disputed = describeDisputed(collection, ranked);
  collection.close();
  return { disputed, places: disputed.messages.map(({ place }) => place) };
}

test('are those of which Bayes thinks the other class likelier, and no silence', () => {
  const { disputed, places } = rank([
    ['spam', 'a', 0.4],
    ['spam', 'b', 0.5],
    ['spam', 'c', 0.9],
    ['ham', 'd', 0.6],
    ['ham', 'e', 0.1],
  ]);
  expect(places.toSorted()).toEqual(['/0', '/3']);
  expect(disputed.byVerdict).toEqual({ spam: 1, ham: 1 });
});

test('where Bayes is as sure, the judgement of the other messages of the sender comes first', () => {
  const { disputed, places } = rank([
    // of this list the others are ham as well
    ['ham', 'l', 1],
    ['ham', 'l', 0],
    ['ham', 'l', 0],
    // of this one they are all spam
    ['ham', 'm', 1],
    ['spam', 'm', 1],
    ['spam', 'm', 1],
    // of these nothing is known
    ['ham', 'unknown', 1],
    ['spam', 'unknown', 1],
  ]);
  expect(places).toEqual(['/3', '/6', '/0']);
  expect(disputed.messages.map((each) => [each.senderOtherwise, each.senderOthers])).toEqual([
    [2, 2],
    [0, 0],
    [0, 2],
  ]);
});

test('names the few senders of half of them', () => {
  const { disputed } = rank([
    ...Array.from({ length: 5 }, (): Row => ['spam', 'newsletter', 0.1]),
    ...['a', 'b', 'c', 'd'].map((sender): Row => ['ham', sender, 0.9]),
  ]);
  expect(disputed.senders[0]).toEqual({ sender: 'newsletter', messages: 5 });
  expect([disputed.sendersOfHalf, disputed.differentSenders, disputed.count]).toEqual([1, 5, 9]);
});
