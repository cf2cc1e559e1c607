import { expect, onTestFinished, test } from 'vitest';
import { fuzzyFlags } from '../../src/fuzzy-flags.ts';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act } from '../faults/fault-server.ts';
import { CLOSES, CRASHES, SILENCE, answer, failure, plays } from '../faults/plays.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import { ScriptedTrainer } from '../support/scripted-trainer.ts';
import { PATIENCE_MS, trainerAt } from '../trainers/connect.ts';

/** Who is to blame for what fails only when hashes are added to the fuzzy storage. */

const ADDED = answer('200 OK', '{"success":true,"hashes":["8a427ec0a8271d4f"]}');
const NO_CONTENT = failure(404, 'No content to generate fuzzy for flag 11');

/** A controller that acts so on the hashes of a letter, and a bench that teaches it. */
async function benchWith(actOn: (letter: string) => Act, timeoutMs = PATIENCE_MS) {
  const server = await FaultServer.start({
    play: plays({
      when: ({ path }) => path === '/fuzzyadd',
      act: ({ body }) => actOn(body.toString()),
    }),
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const fuzzy = fuzzyFlags(['spam', 'ham'])('spam:11,ham:13');
  const real = trainerAt(server.url, { fuzzy, timeoutMs });
  const trainer = new ScriptedTrainer();
  trainer.learn = (example, signal) => real.learn(example, signal);
  return new DeliveryBench({ trainers: [trainer] });
}

test('a message that makes rspamd die there is set aside, and no other', async () => {
  const bench = await benchWith((letter) => (letter.includes('poison') ? CRASHES : ADDED));
  for (let i = 0; i < 20; i += 1) bench.put(i === 7 ? 'poison' : `${i}`);
  for (let i = 20; bench.quarantined.length === 0; i += 1) {
    expect(i).toBeLessThan(60);
    bench.put(`${i}`);
    await bench.finishOf(`${i}`);
    await bench.flow(20_000);
  }
  expect(bench.quarantined).toEqual(['poison']);
  expect(JSON.parse(bench.spool.read('quarantine/spam/poison.json'))).toMatchObject({
    reason: expect.stringMatching(/^its fuzzy storage .* no answer .* nobody else/) as string,
  });
  await bench.finish();
});

test.each([
  ['closes', CLOSES, PATIENCE_MS],
  ['is silent', SILENCE, 300],
])(
  'while rspamd %s for want of its storage nobody is, whatever else is learned',
  async (...each) => {
    const [, fails, timeoutMs] = each;
    let away = fails;
    const actOn = (letter: string): Act => (letter.includes('bare') ? NO_CONTENT : away);
    const bench = await benchWith(actOn, timeoutMs);
    for (const round of ['first', 'second']) {
      for (const each of ['a', 'b', 'c']) bench.put(`${round}-${each}`);
      for (let i = 0; i < 8; i += 1) {
        await bench.flow(20_000);
        bench.put(`bare-${round}-${i}`);
        const learned = (): boolean =>
          bench.filesOf('message.learned').includes(`bare-${round}-${i}`);
        await bench.flowUntil('it is learned', learned, 50);
      }
      expect(bench.spool.queued).toHaveLength(3);
      away = ADDED;
      await bench.finish(50);
      away = fails;
    }
    expect(bench.quarantined).toEqual([]);
    expect(bench.recorder.fieldOf('message.deferred', 'charges')).not.toContain(1);
  },
);
