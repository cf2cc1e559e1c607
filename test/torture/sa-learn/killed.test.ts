import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Verdict } from '../../../src/verdict.ts';
import { VERDICTS } from '../../../src/verdict.ts';
import { Daemon } from '../../lab/daemon.ts';
import { makeMessage, regenerated } from '../../lab/messages.ts';
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
const PATIENCE_MS = 120_000;
/** A run takes about so long. */
const LONGEST_LIFE_MS = 1_500;
const chance = chanceFor('sa-learn killed', 324_490_082);

class World {
  readonly saLearn = new PrivateSaLearn();
  readonly lib = join(this.saLearn.folder, 'lib');
  readonly state = join(this.saLearn.folder, 'state');
  readonly verdicts = new Map<number, Verdict>();
  #writes = 0;

  constructor() {
    for (const verdict of VERDICTS) mkdirSync(join(this.lib, verdict), { recursive: true });
    mkdirSync(this.state, { mode: 0o700 });
    this.#giveAway(this.saLearn.folder);
  }

  /** Judges a message, as kopano-spamd does: with its own bytes, or written anew. */
  judge(number: number, verdict: Verdict): void {
    this.#writes += 1;
    const made = makeMessage('spam', number);
    const { raw } = number % 2 === 0 ? made : regenerated(made, this.#writes);
    const file = join(this.lib, verdict, `${number}.eml`);
    writeFileSync(file, raw);
    this.#giveAway(file);
    chmodSync(file, 0o660);
    this.verdicts.set(number, verdict);
  }

  start(): Promise<Daemon> {
    const become = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const user = isRoot ? ['setpriv', ...become] : [];
    return Daemon.spawn([...user, process.execPath, program(), 'watch'], {
      KOPANO_SPAMD_LIB: this.lib,
      LEARN_STATE_DIR: this.state,
      LEARN_TRAINERS: 'spamassassin',
      LEARN_SETTLE_MS: '200',
      SPAMD_URL: `exec:${this.saLearn.program}`,
      STATUS_LISTEN: 'off',
      TMPDIR: this.saLearn.folder,
    });
  }

  /** Files that wait to be learned. */
  get waiting(): number {
    const folders = VERDICTS.flatMap((verdict) => [
      join(this.lib, verdict),
      join(this.state, 'queue', verdict),
    ]);
    return folders.flatMap((folder) => readdirSync(folder)).length;
  }

  /** How many messages were last judged so. */
  judged(verdict: Verdict): number {
    return [...this.verdicts.values()].filter((each) => each === verdict).length;
  }

  #giveAway(path: string): void {
    if (isRoot) execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, path]);
  }
}

test('each message counts once, as it was judged last', needsPrograms('sa-learn'), async () => {
  const world = new World();
  for (let number = 0; number < MESSAGES; number += 1) world.judge(number, 'spam');
  for (let kill = 0; kill < KILLS; kill += 1) {
    const { runs } = world.saLearn;
    await using daemon = await world.start();
    await daemon.until('start sa-learn', () => world.saLearn.runs > runs, {
      timeoutMs: PATIENCE_MS,
    });
    await sleep(chance.below(LONGEST_LIFE_MS));
    await daemon.kill();
    for (let turned = 0; turned < 4; turned += 1) {
      const number = chance.below(MESSAGES);
      world.judge(number, world.verdicts.get(number) === 'spam' ? 'ham' : 'spam');
      // Times of files have ticks.
      await sleep(20);
    }
  }
  await using daemon = await world.start();
  await daemon.until('learn all', () => world.waiting === 0, { timeoutMs: PATIENCE_MS });
  await daemon.stop();
  expect(world.saLearn.counts).toContain(
    `${world.judged('spam')} spam, ${world.judged('ham')} ham,`,
  );
  expect(readdirSync(world.saLearn.folder)).not.toContainEqual(
    expect.stringContaining('kopano-learnd'),
  );
});
