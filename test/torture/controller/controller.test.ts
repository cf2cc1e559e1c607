import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeReal, startServers } from '../../real/harness.ts';
import type { RealServers } from '../../real/harness.ts';
import { byLength } from '../../support/length.ts';
import { chanceFor } from '../../support/seed.ts';
import { CRIMES, always, poison, stretch, weather } from './campaign.ts';
import type { Crime } from './campaign.ts';
import { allForms } from './forms.ts';
import type { Form } from './forms.ts';
import { hourOf } from './hour.ts';
import { Elsewhere, Stage } from './stage.ts';

/**
 * Whatever a controller does, or what lies between: nothing is lost, all is learned when it is over,
 * nobody innocent is charged, a controller that is down is asked by one message at a time, memory
 * stays small and the log short.
 */

const chance = chanceFor('controller', 324_464_486);
let servers: RealServers;
let elsewhere: Elsewhere;

beforeAll(async () => {
  elsewhere = await Elsewhere.start();
  servers = await startServers();
});

afterAll(async () => {
  await servers[Symbol.asyncDispose]();
  await elsewhere[Symbol.asyncDispose]();
});

/** Those that no run leaves out: all of a kind, what is large, and what has bitten others. */
const ALWAYS = [
  'the answer hangs before its first byte',
  'the answer is reset before its first byte',
  'every redirect to another host',
  'Retry-After of all kinds',
  'always 500',
  'always 200',
  'a reason of 64 KB',
  'a header of 400 KB',
  'a body of 600 MB with 500',
  'a gzip bomb',
];

/** Outages in which a message at fault may hide. */
const OUTAGES = [
  'always 500',
  'always 503',
  'Redis full',
  'the request is reset in its body',
  'the answer is closed before its first byte',
];

const PATIENCE_MS = byLength({ short: 120_000, middle: 400_000, long: 3_600_000 });

function mixed<T>(all: readonly T[]): T[] {
  const left = [...all];
  return all.flatMap(() => left.splice(chance.below(left.length), 1));
}

/** The forms of this run, in an order of chance. */
function chosenForms(): readonly Form[] {
  const forms = mixed(allForms(elsewhere.url));
  const isSlow = ({ slow }: Form): boolean => slow !== undefined;
  const others = forms.filter((form) => !ALWAYS.includes(form.name));
  return [
    ...forms.filter((form) => ALWAYS.includes(form.name)),
    ...others.filter(isSlow).slice(0, byLength({ short: 0, middle: 3, long: Infinity })),
    ...others
      .filter((form) => !isSlow(form))
      .slice(0, byLength({ short: 3, middle: 25, long: Infinity })),
  ];
}

/** The first two are what the rules of blame are about. */
function chosenCrimes(): readonly Crime[] {
  return CRIMES.slice(0, byLength({ short: 2, middle: 4, long: Infinity }));
}

function chosenOutages(): readonly Form[] {
  return mixed(OUTAGES)
    .slice(0, byLength({ short: 1, middle: 2, long: OUTAGES.length }))
    .map(formCalled);
}

function formCalled(name: string): Form {
  const form = allForms(elsewhere.url).find((each) => each.name === name);
  if (form === undefined) throw new Error(`there is no form "${name}"`);
  return form;
}

describeReal('a controller that fails', { timeout: PATIENCE_MS, concurrent: true }, () => {
  it.each([
    ['at once', (form: Form) => form.slow === undefined],
    ['slowly', (form: Form) => form.slow !== undefined],
  ] as const)(
    '%s, in one form after the other, is sat out, and everything is learned',
    async (_, isMeant) => {
      await using stage = await Stage.start(servers.rspamd);
      for (const form of chosenForms().filter(isMeant)) {
        await named(form, () => stretch(stage, form));
      }
      expect(elsewhere.connections).toBe(0);
      await stage.stop();
    },
  );

  it('by hanging keeps the daemon from nothing: it ends in time, and learns all later', async () => {
    await using stage = await Stage.start(servers.rspamd);
    stage.proxy.script = always(formCalled('the answer hangs before its first byte'));
    const fleet = stage.launch();
    await stage.daemon.until('post', () => stage.proxy.open > 0);
    await stage.stop();
    stage.proxy.script = () => undefined;
    await stage.restart();
    const rest = { ...fleet, from: 0 };
    await stage.untilEnded(rest);
    await stage.expectLearned(rest);
    await stage.stop();
  });

  it('now and then, in all forms at once, keeps nobody from being learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    const forms = allForms(elsewhere.url).filter(({ slow }) => slow === undefined);
    await weather(stage, forms, chance, byLength({ short: 40, middle: 300, long: 5_000 }));
    expect(elsewhere.connections).toBe(0);
    await stage.stop();
  });

  it('by refusing connections is sat out, and everything is learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    for (let i = 0; i < byLength({ short: 1, middle: 5, long: 50 }); i += 1) {
      await stage.warmUp();
      await stage.proxy.refuse();
      const fleet = stage.launch();
      await stage.untilPaused(fleet);
      await stage.proxy.listen();
      await stage.untilEnded(fleet);
      await stage.expectLearned(fleet);
      stage.expectNobodyCharged(fleet);
      stage.expectFewLines(fleet, 2);
    }
    await stage.stop();
  });

  it.each(chosenCrimes())(
    'with one message that %s has that one set aside, after an outage and not in it',
    async (...crime) => {
      await using stage = await Stage.start(servers.rspamd, { LEARN_MAX_ATTEMPTS: '2' });
      for (const outage of chosenOutages()) {
        await named(outage, () => poison(stage, crime, outage));
      }
      await stage.stop();
    },
  );
});

describeReal('an hour of an outage', { timeout: PATIENCE_MS }, () => {
  it('in one form after the other brings few posts, few lines, and no charge', async () => {
    const forms = chosenForms().filter(({ slow }) => slow !== 'post');
    for (const form of forms) await named(form, () => hourOf(servers.rspamd, form));
  });
});

/** Says which form it was, where something is wrong. */
async function named(form: Form, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    throw new Error(`with the form "${form.name}"`, { cause: error });
  }
}
