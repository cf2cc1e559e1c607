import { expect, test } from 'vitest';
import { RelearnBench, begin, namesOf, sourceOf } from '../support/relearn-bench.ts';
import {
  DUPLICATE,
  Holder,
  LEARNED,
  NO_REDIS,
  TOO_SHORT,
  to,
} from '../support/scripted-trainer.ts';
import type { Rule } from '../support/scripted-trainer.ts';

/** A run that posts these messages one by one and proves every tenth; the first one always. */
function beginOf(names: readonly string[], ...rules: readonly Rule[]): RelearnBench {
  return begin([sourceOf('spam', names)], { proveEvery: 10, concurrency: 1 }, ...rules);
}

test('one in so many is posted again, and the last: what came before is done with its proof', async () => {
  const holder = new Holder();
  const names = namesOf('s', 15);
  const bench = beginOf(names, holder.of('s11'));
  await bench.untilHeld(holder);
  expect(bench.stats.total('learned')).toBe(11);
  bench.trainer.plays(holder.of('s12'));
  holder.answer('s11', LEARNED);
  await bench.untilHeld(holder);
  // What was acknowledged after the proven one waits for the next proof.
  expect(bench.stats.total('learned')).toBe(11);
  holder.open(LEARNED);
  expect(await bench.finish()).toBe('complete');
  expect(bench.stats.total('learned')).toBe(15);
  const twice = new Set(['s0', 's10', 's14']);
  const expected = names.flatMap((name) => (twice.has(name) ? [name, name] : [name]));
  expect(bench.trainer.names).toEqual(expected);
});

test('what was acknowledged after a message is not done with its proof', async () => {
  const [first, second, beside, last] = [new Holder(), new Holder(), new Holder(), new Holder()];
  let posts = 0;
  const bench = begin(
    [sourceOf('spam', namesOf('s', 9))],
    { proveEvery: 1_000, concurrency: 2 },
    (post) => {
      if (post.name !== 's3') return undefined;
      posts += 1;
      return (posts === 1 ? first : second).of()(post);
    },
    beside.of('s4'),
    last.of('s7'),
  );
  await bench.until('both are posted', () => first.names.length + beside.names.length === 2, 1);
  await bench.clock.flow(1_100);
  first.open(LEARNED);
  await bench.untilHeld(second);
  beside.open(TOO_SHORT);
  await bench.untilHeld(last);
  second.open(DUPLICATE);
  await bench.until('the slow one is done', () => bench.stats.total('learned') >= 4, 1);
  expect(bench.left).toEqual(expect.arrayContaining(['s5', 's6']));
  last.open(LEARNED);
  expect(await bench.finish()).toBe('complete');
});

test.each([
  ['never proves', Infinity],
  ['proves late', 2],
])('those before one that %s are posted again: they may not be stored either', async (_, often) => {
  const names = namesOf('s', 10);
  const lost = names.slice(1);
  const bench = beginOf(
    [...names, 'odd', 'next'],
    ...lost.map((each) => to(each, LEARNED, 1)),
    to('odd', LEARNED, often),
  );
  expect(await bench.finish(20)).toBe('complete');
  expect([...bench.trainer.memory.keys()]).toEqual(expect.arrayContaining([...names, 'next']));
  expect(bench.stats.counts).toMatchObject({ learned: { spam: 12 }, known: { spam: 0 } });
});

/** rspamd often doesn't recognise a message with several web addresses. */
const withLinks = (name: string): string => `${name} http://one.example http://two.example`;

test('one with several web addresses is proven only where no other one comes for too long', async () => {
  const linked = namesOf('l', 25).map(withLinks);
  const names = ['s0', ...namesOf('a', 9), ...linked.slice(0, 4), 'due', ...linked.slice(4)];
  const bench = beginOf(names);
  expect(await bench.finish()).toBe('complete');
  const twice = names.filter((name) => bench.trainer.of(name).length > 1);
  expect(twice).toEqual(['s0', 'due', linked[22], linked[24]]);
});

test('one with several web addresses that proves late says nothing of those before it', async () => {
  const linked = namesOf('l', 20).map(withLinks);
  const [late = ''] = linked.slice(18);
  const bench = beginOf(['s0', ...linked], to(late, LEARNED, 1));
  expect(await bench.finish(20)).toBe('complete');
  expect(bench.trainer.of(late)).toHaveLength(3);
  // The first, the late one and the last are proven.
  expect(bench.trainer.names).toHaveLength(21 + 1 + 2 + 1);
});

test.each([
  ['lost', true],
  ['kept', false],
])(
  'what was acknowledged, and is %s when the controller fails, is posted again',
  async (_, isLost) => {
    const names = namesOf('s', 6);
    const bench = beginOf(names);
    bench.trainer.plays(
      to(
        's5',
        () => {
          if (isLost) bench.trainer.memory.clear();
          return NO_REDIS;
        },
        1,
      ),
    );
    expect(await bench.finish(20)).toBe('complete');
    for (const name of names.slice(1)) expect(bench.trainer.memory.get(name)).toBe('spam');
    // The first one after a recovery is proven; what was stored before counts as learned.
    if (isLost) expect(bench.trainer.names[7]).toBe(bench.trainer.names[8]);
    expect(bench.stats.counts).toMatchObject({ learned: { spam: 6 }, known: { spam: 0 } });
  },
);

test('one whose answer took more than a second is proven', async () => {
  const holder = new Holder();
  const bench = beginOf(namesOf('s', 4), holder.of('s1'));
  await bench.untilHeld(holder);
  await bench.clock.flow(1_100);
  holder.open(LEARNED);
  expect(await bench.finish()).toBe('complete');
  expect(bench.trainer.names.join(' ')).toContain('s1 s1 s1');
});

test('a large one is proven at once, and those before it with it', async () => {
  const holder = new Holder();
  const bench = beginOf(['s0', 's1', 'large', 's2'], holder.of('s2'));
  await bench.untilHeld(holder);
  expect(bench.stats.total('learned')).toBe(3);
  holder.open(LEARNED);
  await bench.finish();
});

test('one that is known or refused is done at once, and proves nothing', async () => {
  const holder = new Holder();
  const rules = [to('known', DUPLICATE), to('short', TOO_SHORT), holder.of('s3')];
  const bench = beginOf(['s0', 's1', 's2', 'known', 'short', 's3'], ...rules);
  await bench.untilHeld(holder);
  expect(bench.stats.counts).toMatchObject({
    learned: { spam: 1 },
    known: { spam: 1 },
    refused: { spam: 1 },
  });
  holder.open(LEARNED);
  expect(await bench.finish()).toBe('complete');
  expect(bench.stats.total('learned')).toBe(4);
});
