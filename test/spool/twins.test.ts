import { appendFileSync, linkSync, mkdirSync, rmSync, unlinkSync } from 'node:fs';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { failSteps, resolved } from '../support/fs-steps.ts';
import { MARKED_MS, PickupBench, SETTLE_MS } from '../support/pickup-bench.ts';
import { TestSpool, setMtime } from '../support/test-spool.ts';

const UNMARKED = 0o644;
const EARLIER = 1_700_000_000;
const LATER = EARLIER + 60;

/** Drops a complete message that was last written at this time. */
function dropAt(verdict: 'spam' | 'ham', seconds: number, mode?: number): string {
  const path = spool.drop(verdict, 'a.eml', `${verdict} of ${seconds}`, mode);
  setMtime(path, seconds);
  return path;
}

/** Opening `spam/` fails until the returned function is called. */
function failToOpenSpam(code: string): () => void {
  return failSteps(({ call, path }) =>
    call === 'openSync' && path === `${spool.lib}/spam` ? code : undefined,
  );
}

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  bench = new PickupBench();
  ({ spool } = bench);
});

/** Its writer goes on for ten times the settle time. */
async function writeOn(path: string): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    await bench.clock.flow(SETTLE_MS / 2);
    appendFileSync(path, '.');
  }
}

describe('of twins', () => {
  test.each(['replaced', 'made'])(
    'an older one counts in a folder that was just %s',
    async (how) => {
      const folder = spool.dropPath('spam').replace(/\/$/, '');
      if (how === 'made') rmSync(folder, { recursive: true });
      await bench.start();
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      dropAt('spam', EARLIER);
      dropAt('ham', LATER);
      // Folders are compared with their paths every two seconds; a file settles within that time.
      await bench.flowToTheEnd('ham/a.eml');
      expect(bench.superseded).toEqual(['spam/a.eml']);
    },
  );

  test.each(['EIO', 'ENOTCONN', 'ESTALE'])(
    'an older one counts in a folder that answers %s',
    async (code) => {
      dropAt('spam', EARLIER);
      dropAt('ham', LATER);
      const mend = failToOpenSpam(code);
      await bench.start();
      await bench.clock.flow(30_000, 100);
      expect(bench.places).toEqual([]);
      mend();
      await bench.flowToTheEnd('ham/a.eml');
      expect(bench.superseded).toEqual(['spam/a.eml']);
    },
  );

  test('none is waited for in a folder that the daemon has no permission for', async () => {
    dropAt('ham', LATER);
    failToOpenSpam('EACCES');
    await bench.start();
    await bench.flowUntilQueued('ham/a.eml');
  });

  test('the older one, which cannot be moved, does not remove the newer one later', async () => {
    const { lib } = bench.spool;
    dropAt('spam', EARLIER);
    dropAt('ham', LATER);
    failSteps((step) =>
      step.call === 'renameSync' && resolved(step) === `${lib}/spam/a.eml` ? 'EPERM' : undefined,
    );
    await bench.start();
    await bench.flowUntilQueued('ham/a.eml');
    for (let i = 0; i < 3; i += 1) {
      bench.pickup.sweepNow();
      await bench.pass(10_000);
    }
    expect(spool.queued).toEqual(['ham/a.eml']);
    expect(bench.recorder.of('spool.stuck')).toHaveLength(1);
  });

  test('neither is taken before both have passed the gate, the newer one being late', async () => {
    dropAt('spam', EARLIER);
    const path = spool.drop('ham', 'a.eml', 'ham', UNMARKED);
    await bench.start();
    await writeOn(path);
    expect(bench.places).toEqual([]);
    await bench.flowUntilQueued('ham/a.eml');
    expect(spool.queued).toEqual(['ham/a.eml']);
  });

  test('an empty one is waited for, and counts no more once it is stuck', async () => {
    spool.drop('ham', 'a.eml', '');
    dropAt('spam', EARLIER);
    await bench.start();
    await bench.pass(590_000);
    expect(bench.places).toEqual([]);
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.dropped('ham')).toEqual(['a.eml']);
  });

  test('two links of one file are one message: ham, by the tie', async () => {
    linkSync(spool.drop('spam', 'a.eml'), spool.dropPath('ham', 'a.eml'));
    await bench.start();
    await bench.flowToTheEnd('ham/a.eml');
    expect(spool.dropped('spam')).toEqual([]);
  });
});

describe('a newer verdict supersedes an older one', () => {
  test.each([
    ['of the other class', 'spam', 'ham'],
    ['of the same class', 'spam', 'spam'],
  ] as const)('%s that waits in the queue', async (_what, older, newer) => {
    spool.enqueue(older, 'a.eml', 'older');
    // the drop directory is newer, whatever the clock says
    setMtime(spool.drop(newer, 'a.eml', 'newer'), EARLIER);
    await bench.start();
    await bench.flowUntilQueued(`${newer}/a.eml`);
    expect(spool.queued).toEqual([`${newer}/a.eml`]);
    expect(spool.read(`queue/${newer}/a.eml`)).toBe('newer');
    expect(bench.superseded).toEqual([`${older}/a.eml`]);
  });

  test.each(['spam', 'ham'] as const)('in quarantine, with its reason: %s', async (older) => {
    spool.enqueue(older, 'a.eml', 'older');
    await spool.quarantine.put(spool.entry(older, 'a.eml'), spool.queue, {
      name: 'a.eml',
      verdict: older,
      reason: 'too large',
      attempts: 0,
      quarantinedAt: new Date(0).toISOString(),
    });
    spool.drop('ham', 'a.eml', 'newer');
    await bench.start();
    await bench.flowUntilQueued('ham/a.eml');
    expect(spool.names(`quarantine/${older}`)).toEqual([]);
    expect(spool.queued).toEqual(['ham/a.eml']);
  });

  test('never before the newer one has passed the gate', async () => {
    spool.enqueue('spam', 'a.eml', 'older');
    const path = spool.drop('ham', 'a.eml', 'newer', UNMARKED);
    await bench.start();
    await writeOn(path);
    expect(spool.queued).toEqual(['spam/a.eml']);
    unlinkSync(path); // it was not to be
    await bench.pass(10_000);
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(bench.superseded).toEqual([]);
  });
});

describe('while a key is in flight', () => {
  test('its newer file waits in the drop directory, and goes as soon as the key is free', async () => {
    spool.enqueue('spam', 'a.eml', 'older');
    bench.locks.holdKey('a.eml');
    spool.drop('ham', 'a.eml', 'newer');
    await bench.start();
    await bench.pass(60_000);
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.dropped('ham')).toEqual(['a.eml']);
    const start = bench.clock.monotonic();
    bench.locks.releaseKey('a.eml');
    await bench.flowUntilQueued('ham/a.eml');
    expect(bench.clock.monotonic() - start).toBeLessThan(MARKED_MS);
    expect(spool.queued).toEqual(['ham/a.eml']);
  });
});

/** What a user and time can do to one message; the writer writes as kopano-spamd does. */
type Step = 'spam' | 'ham' | 'withdraw' | 'wait a little' | 'wait' | 'fly' | 'land';

const STEPS: readonly Step[] = ['spam', 'ham', 'withdraw', 'wait a little', 'wait', 'fly', 'land'];

test('whatever the user does: the queue ends with the latest verdict, and with it alone', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 12 }),
      async (steps) => {
        const bench = await PickupBench.start();
        const { spool } = bench;
        let latest: 'spam' | 'ham' | undefined;
        let body = '';
        for (const [index, step] of steps.entries()) {
          switch (step) {
            case 'spam':
            case 'ham': {
              const other = step === 'spam' ? 'ham' : 'spam';
              if (spool.dropped(other).includes('a.eml'))
                unlinkSync(spool.dropPath(other, 'a.eml'));
              body = `${step} ${index}`;
              spool.drop(step, 'a.eml', body);
              latest = step;
              break;
            }
            case 'withdraw':
              if (latest === undefined || !spool.dropped(latest).includes('a.eml')) break;
              unlinkSync(spool.dropPath(latest, 'a.eml'));
              latest = undefined;
              break;
            case 'wait a little':
              await bench.clock.flow(100);
              break;
            case 'wait':
              await bench.clock.flow(3_000);
              break;
            case 'fly':
              bench.locks.holdKey('a.eml');
              break;
            case 'land':
              bench.locks.releaseKey('a.eml');
              break;
          }
          expect(spool.queued.length).toBeLessThanOrEqual(1);
        }
        bench.locks.releaseKey('a.eml');
        await bench.pass(10_000);
        // a withdrawn verdict gives an earlier one, which the queue may hold, its place back
        if (latest !== undefined) {
          expect(spool.queued).toEqual([`${latest}/a.eml`]);
          expect(spool.read(`queue/${latest}/a.eml`)).toBe(body);
        }
        expect(spool.queued.length).toBeLessThanOrEqual(1);
        expect(spool.dropped('spam').concat(spool.dropped('ham'))).toEqual([]);
        await bench.stop();
      },
    ),
    { numRuns: 40 },
  );
});
