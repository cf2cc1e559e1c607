import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PrivateSpamd, PrivateSpamdOptions } from '../../lab/private-spamd.ts';
import type { SpamdTrainerOptions } from '../../../src/trainers/spamassassin/spamd.ts';
import { makeCertificate } from '../../faults/certificate.ts';
import { makeMessage } from '../../lab/messages.ts';
import { ROOT } from '../../support/needs.ts';
import {
  NEVER,
  addressAt,
  example,
  prove,
  trainerAt,
} from '../../trainers/spamassassin/connect.ts';
import { describeReal, startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

const [SPAM, HAM] = [makeMessage('spam', 1).raw, makeMessage('ham', 1).raw];
/** A user that Debian always has. */
const ANOTHER = 'games';

describeReal('a Bayes that cannot be written any more', () => {
  let spamd: PrivateSpamd;

  beforeAll(async () => {
    spamd = await startSpamd();
  });
  beforeEach(async () => {
    await spamd.clear();
    await prove(trainerAt(spamd), example('ham', HAM));
  });
  afterAll(() => spamd[Symbol.asyncDispose]());

  // Without root, what is taken away from others is not taken away from the owner's own spamd.
  const folder = (): string => dirname(spamd.bayesPath);
  const toks = (): string => `${spamd.bayesPath}_toks`;
  const owned = (path: string, uid: number, gid: number): void => chownSync(path, uid, gid);

  test.each([
    ['as its folder is gone', () => rmSync(folder(), { recursive: true })],
    ['as its folder is another’s', () => owned(folder(), 0, 0)],
    [
      'as root’s sa-learn left bayes_toks to root',
      () => {
        owned(toks(), 0, 0);
        chmodSync(toks(), 0o600);
      },
    ],
    ['as bayes_toks is damaged', () => writeFileSync(toks(), 'garbage'.repeat(10_000))],
  ])(
    '%s: no message is charged, known or new, and it goes on when that is mended',
    ROOT,
    async (_what, spoil) => {
      const [{ uid, gid }, before] = [statSync(folder()), statSync(toks())];
      const trainer = trainerAt(spamd);
      expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
      spoil();
      const deaf = { kind: 'misconfigured', hint: expect.stringContaining('chown') as string };
      expect(await trainer.learn(example('spam', SPAM), NEVER)).toMatchObject(deaf);
      expect(await trainer.learn(example('ham', makeMessage('ham', 2).raw), NEVER)).toMatchObject(
        deaf,
      );
      await mend(spamd, uid, gid, before.mode);
      expect((await prove(trainer, example('spam', SPAM))).at(-1)).toBe('duplicate');
    },
  );
});

async function mend(spamd: PrivateSpamd, uid: number, gid: number, mode: number): Promise<void> {
  const folder = dirname(spamd.bayesPath);
  execFileSync('install', ['-d', '-o', String(uid), '-g', String(gid), '-m', '0755', folder]);
  const toks = statSync(`${spamd.bayesPath}_toks`, { throwIfNoEntry: false });
  if (toks?.size === 'garbage'.length * 10_000) await spamd.clear();
  else if (toks !== undefined) {
    chownSync(`${spamd.bayesPath}_toks`, uid, gid);
    chmodSync(`${spamd.bayesPath}_toks`, mode & 0o777);
  }
}

interface Wrong {
  readonly spamd: PrivateSpamdOptions;
  readonly trainer?: Partial<SpamdTrainerOptions>;
  readonly cure: string;
  readonly needs?: typeof ROOT;
}

const WRONG: Readonly<Record<string, Wrong>> = {
  'without --allow-tell': { spamd: { allowTell: false }, cure: '--allow-tell' },
  'that allows other hosts alone': { spamd: { allowedIps: '192.0.2.1' }, cure: '--allowed-ips' },
  'with use_bayes 0': { spamd: { config: ['use_bayes 0'] }, cure: 'use_bayes 1' },
  'with use_learner 0': { spamd: { config: ['use_learner 0'] }, cure: 'use_learner 1' },
  'with bayes_learn_during_report 0': {
    spamd: { config: ['bayes_learn_during_report 0'] },
    cure: 'bayes_learn_during_report 1',
  },
  'with a journal': {
    spamd: { config: ['bayes_learn_to_journal 1'] },
    cure: 'bayes_learn_to_journal 0',
  },
  'of root, without SPAMD_USER': {
    spamd: { user: null, bayesOwner: ANOTHER },
    cure: 'SPAMD_USER',
    needs: ROOT,
  },
  'of root, with a SPAMD_USER that nobody knows': {
    spamd: { user: null, bayesOwner: ANOTHER },
    trainer: { user: 'nobody-of-that-name' },
    cure: 'let that user write',
    needs: ROOT,
  },
  'of root that is paranoid': {
    spamd: { user: null, bayesOwner: ANOTHER, args: ['--paranoid'] },
    cure: '--paranoid',
    needs: ROOT,
  },
};

describeReal('a spamd', () => {
  for (const [what, { spamd: options, trainer, cure, needs = {} }] of Object.entries(WRONG)) {
    test.concurrent(`${what} is misconfigured, and the cure is told`, needs, async ({ expect }) => {
      await using spamd = await startSpamd(options);
      const outcome = await trainerAt(spamd, trainer).learn(example('spam', SPAM), NEVER);
      expect(outcome).toMatchObject({
        kind: 'misconfigured',
        hint: expect.stringContaining(cure) as string,
      });
      // The same without a check before: a change while the daemon runs.
      const checked = trainerAt(spamd, trainer);
      expect(await checked.diagnose(NEVER)).toEqual(outcome);
    });
  }

  test.concurrent('of root learns for SPAMD_USER', ROOT, async ({ expect }) => {
    await using spamd = await startSpamd({ user: null, bayesOwner: ANOTHER });
    const trainer = trainerAt(spamd, { user: ANOTHER });
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await spamd.counts()).toMatchObject({ spam: 1, ham: 0 });
  });

  test.concurrent('on a Unix socket learns', async ({ expect }) => {
    await using spamd = await startSpamd({ unixSocket: true });
    const address = addressAt(0, { socketPath: spamd.socketPath });
    const trainer = trainerAt(spamd, { address });
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
    await spamd.stop();
    const outcome = await trainer.learn(example('ham', HAM), NEVER);
    expect(outcome).toMatchObject({ kind: 'unavailable', contact: 'refused' });
  });

  test.concurrent(
    'by TLS learns from who trusts it, and the others know why not',
    async ({ expect }) => {
      const tls = makeCertificate();
      await using spamd = await startSpamd({ tls });
      const address = addressAt(spamd.port, { tls: true });
      const trusting = trainerAt(spamd, { address, ca: tls.cert });
      const large = example('spam', Buffer.alloc(2_000_000, 'many words '));
      expect(await prove(trusting, large)).toEqual(['learned', 'duplicate']);
      for (const [options, cure] of [
        [{ address }, 'SPAMD_CA_FILE'],
        [{}, 'spamds:'],
      ] as const) {
        const outcome = await trainerAt(spamd, options).learn(example('ham', HAM), NEVER);
        const hint = expect.stringContaining(cure) as string;
        expect(outcome).toMatchObject({ kind: 'misconfigured', hint });
      }
    },
  );

  test.concurrent('without TLS is misconfigured for who speaks it', async ({ expect }) => {
    await using spamd = await startSpamd();
    const address = addressAt(spamd.port, { tls: true });
    const outcome = await trainerAt(spamd, { address }).learn(example('ham', HAM), NEVER);
    const hint = expect.stringContaining('use spamd:') as string;
    expect(outcome).toMatchObject({ kind: 'misconfigured', hint });
  });

  test.concurrent('with Debian’s own rules and plugins learns', async ({ expect }) => {
    await using spamd = await startSpamd({ packageRules: true });
    const trainer = trainerAt(spamd);
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await prove(trainer, example('ham', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await prove(trainerAt(spamd), example('ham', SPAM))).toEqual(['duplicate']);
    expect(await spamd.counts()).toMatchObject({ spam: 0, ham: 1 });
  });
});
