import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Verdict } from '../../../src/verdict.ts';
import { Daemon } from '../../lab/daemon.ts';
import { makeMessage, regenerated } from '../../lab/messages.ts';
import { DaemonSpool } from '../../support/daemon-spool.ts';
import { byLength } from '../../support/length.ts';
import { needsPrograms } from '../../support/needs.ts';
import { program } from '../../support/run.ts';
import { chanceFor } from '../../support/seed.ts';
import { NOBODY, isRoot } from '../../support/temporary.ts';
import { PrivateSaLearn } from './private-sa-learn.ts';

/**
 * The daemon is killed while `sa-learn` runs, which goes on without it; users turn verdicts meanwhile,
 * half of them with other bytes. In the end `sa-learn` counts each message once, as it was judged last.
 */

const KILLS = byLength({ short: 6, middle: 20, long: 200 });
const MESSAGES = 40;
/** A run takes about so long. */
const LONGEST_LIFE_MS = 1_500;
const chance = chanceFor('sa-learn killed', 324_490_082);

class SaLearnSpool extends DaemonSpool {
  readonly saLearn = new PrivateSaLearn();
  readonly #last = new Map<number, Verdict>();
  #writes = 0;

  constructor() {
    super({ settings: { LEARN_TRAINERS: 'spamassassin', LEARN_SETTLE_MS: '200' } });
    mkdirSync(this.stateDir, { mode: 0o700 });
    this.#giveAway(this.folder);
    this.#giveAway(this.saLearn.folder);
  }

  /** Judges a message anew, with its own bytes or written anew. */
  turn(number: number): void {
    this.#writes += 1;
    const verdict = this.#last.get(number) === 'spam' ? 'ham' : 'spam';
    const made = { ...makeMessage('spam', number), verdict, name: `${number}.eml` } as const;
    const message = number % 2 === 0 ? made : regenerated(made, this.#writes);
    this.put(message);
    this.#giveAway(join(this.lib, verdict, made.name));
    this.#last.set(number, verdict);
  }

  /** As a user that may run `sa-learn`. */
  launch(): Promise<Daemon> {
    const become = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const user = isRoot ? ['setpriv', ...become] : [];
    const command = [...user, process.execPath, program(), 'watch'];
    const { program: saLearn, folder } = this.saLearn;
    const settings = { SPAMD_URL: `exec:${saLearn}`, STATUS_LISTEN: 'off', TMPDIR: folder };
    return Daemon.spawn(command, this.environment(settings));
  }

  /** How many messages were last judged so. */
  judged(verdict: Verdict): number {
    return [...this.#last.values()].filter((each) => each === verdict).length;
  }

  #giveAway(path: string): void {
    if (isRoot) execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, path]);
  }
}

test('each message counts once, as it was judged last', needsPrograms('sa-learn'), async () => {
  await using spool = new SaLearnSpool();
  const { saLearn } = spool;
  for (let number = 0; number < MESSAGES; number += 1) spool.turn(number);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const { runs } = saLearn;
    await using daemon = await spool.launch();
    await daemon.until('start sa-learn', () => saLearn.runs > runs);
    await sleep(chance.below(LONGEST_LIFE_MS));
    await daemon.kill();
    for (let turned = 0; turned < 4; turned += 1) {
      spool.turn(chance.below(MESSAGES));
      // Times of files have ticks.
      await sleep(20);
    }
  }
  await using daemon = await spool.launch();
  await daemon.until('learn all', () => spool.waiting.length === 0);
  await daemon.stop();
  const [spam, ham] = [spool.judged('spam'), spool.judged('ham')];
  expect(saLearn.counts).toMatchObject({ spam, ham });
  expect(readdirSync(saLearn.folder)).not.toContainEqual(expect.stringContaining('kopano-learnd'));
});
