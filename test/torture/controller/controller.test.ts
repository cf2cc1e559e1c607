import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FaultServer } from '../../faults/fault-server.ts';
import type { Act } from '../../faults/fault-server.ts';
import { CLOSES, CRASHES, GARBAGE, SILENCE, failure } from '../../faults/plays.ts';
import { makeMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import { describeReal, startServers } from '../../real/harness.ts';
import type { RealServers } from '../../real/harness.ts';
import { byLength } from '../../support/length.ts';
import { needsMountNamespace } from '../../support/needs.ts';
import { chanceFor } from '../../support/seed.ts';
import { FaultProxy, insteadOf, ownLoopback } from '../proxy.ts';
import type { Script } from '../proxy.ts';
import { allForms } from './forms.ts';
import type { Form } from './forms.ts';
import { NameServer } from './names.ts';
import type { Naming } from './names.ts';
import { always, heal, idOf, outageOf, serverOutages, sitOut } from './outages.ts';
import type { Outage } from './outages.ts';
import { Stage } from './stage.ts';

/**
 * Whatever a controller does, or what lies between: nothing is lost, all is learned when it is over,
 * nobody innocent is charged, memory stays small and the log short.
 */

const chance = chanceFor('controller', 324_464_486);
const timeout = byLength({ short: 300_000, middle: 500_000, long: 3_600_000 });
const folder = mkdtempSync(join(tmpdir(), 'learnd-controller-'));
let servers: RealServers;
/** Another host, which no byte must ever reach. */
let elsewhere: FaultServer;

beforeAll(async () => {
  elsewhere = await FaultServer.start({ play: () => CLOSES });
  // what Redis has answered it keeps, however it ends
  servers = await startServers({ redis: { persistence: 'always' } });
});

afterAll(async () => {
  await servers[Symbol.asyncDispose]();
  await elsewhere[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
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

function mixed<T>(all: readonly T[]): T[] {
  const left = [...all];
  return all.flatMap(() => left.splice(chance.below(left.length), 1));
}

/** The forms of this run, in an order of chance. */
function chosenForms(isMeant: (form: Form) => boolean, others: number): readonly Form[] {
  const forms = mixed(allForms(elsewhere.url)).filter(isMeant);
  return [
    ...forms.filter(({ name }) => ALWAYS.includes(name)),
    ...forms.filter(({ name }) => !ALWAYS.includes(name)).slice(0, others),
  ];
}

function formCalled(name: string): Form {
  const form = allForms(elsewhere.url).find((each) => each.name === name);
  if (form === undefined) throw new Error(`there is no form "${name}"`);
  return form;
}

async function sitOutAll(stage: Stage, outages: readonly Outage[]): Promise<void> {
  for (const outage of outages) {
    await sitOut(stage, outage).catch((cause: unknown) => {
      throw new Error(`with the outage "${outage.name}"`, { cause });
    });
  }
  await stage.stop();
}

const isQuick = ({ slow }: Form): boolean => slow === undefined;

describeReal('a controller that fails', { timeout, concurrent: true }, () => {
  it('at once, in one form after the other, is sat out, and everything is learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    const forms = chosenForms(isQuick, byLength({ short: 3, middle: 25, long: Infinity }));
    await sitOutAll(stage, forms.map(outageOf));
    expect(elsewhere.connections).toBe(0);
  });

  it('slowly, in one form after the other, is sat out, and everything is learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    const others = byLength({ short: 0, middle: 3, long: Infinity });
    await sitOutAll(stage, chosenForms((form) => !isQuick(form), others).map(outageOf));
  });

  it('by refusing connections is sat out, and everything is learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    const { proxy } = stage;
    const refused: Outage = {
      name: 'refused',
      begin: () => proxy.refuse(),
      end: () => proxy.listen(),
      probes: 0,
      lines: 4,
    };
    const times = byLength({ short: 1, middle: 5, long: 50 });
    await sitOutAll(
      stage,
      Array.from({ length: times }, () => refused),
    );
  });

  it('now and then, in all forms at once, keeps nobody from being learned', async () => {
    await using stage = await Stage.start(servers.rspamd);
    const { proxy } = stage;
    const forms = allForms(elsewhere.url).filter(isQuick);
    const faults = forms.flatMap((form) => form.faults).filter(({ kind }) => kind === 'exchange');
    const harms = byLength({ short: 40, middle: 300, long: 5_000 });
    await stage.warmUp();
    let left = harms;
    proxy.script = (request) => {
      if (request === undefined || left <= 0 || chance.next() > 1 / 3) return undefined;
      left -= 1;
      return chance.pick(faults);
    };
    while (left > 0) {
      const fleet = stage.launch();
      await stage.untilEnded(fleet);
      await stage.expectLearned(fleet);
      // as many lines as states can have changed: down and up again with each harm
      stage.expectFewLines(fleet, 2 * (harms - left) + 10);
    }
    expect(elsewhere.connections).toBe(0);
    await stage.stop();
  });
});

describeReal('a controller whose name', { timeout, ...needsMountNamespace() }, () => {
  const NAMINGS = byLength<readonly Naming[]>({
    short: ['never', 'late'],
    middle: ['never', 'late', 'garbage', 'fails'],
    long: ['never', 'late', 'garbage', 'fails', 'knows nothing', 'empty'],
  });

  it('is answered late, wrongly or never is waited for', async () => {
    const host = ownLoopback();
    await using names = await NameServer.start(host);
    const proxy = await FaultProxy.start({ target: servers.rspamd.controllerPort, host });
    const resolver = join(folder, 'resolv.conf');
    // the system would ask twice for five seconds each
    writeFileSync(resolver, `nameserver ${names.host}\noptions timeout:1 attempts:1\n`);
    const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
    await using stage = await Stage.start(servers.rspamd, {
      proxy,
      settings: {
        RSPAMD_URL: `http://rspamd.example:${proxy.port}`,
        RSPAMD_TIMEOUT_SECONDS: '3',
      },
      through: ['unshare', '--mount', 'sh', '-c', script, resolver],
    });
    const outages = NAMINGS.map((naming): Outage => ({
      name: `the name server: ${naming}`,
      begin: () => (names.naming = naming),
      end: () => (names.naming = 'answers'),
      probes: 0,
      lines: 6,
      isSlow: true,
      isPartial: naming === 'late',
    }));
    await sitOutAll(stage, outages);
    await stage.restart();
    names.naming = 'never';
    const { questions } = names;
    const fleet = stage.launch();
    await stage.daemon.until('ask for the name', () => names.questions > questions);
    // It ends in time, whatever hangs, and another daemon learns all.
    await stage.stop();
    names.naming = 'answers';
    await stage.restart();
    const rest = { ...fleet, from: 0 };
    await stage.untilEnded(rest);
    await stage.expectLearned(rest);
    await stage.stop();
  });
});

type Crime = readonly [name: string, act: Act];

/** The first two are what the rules of blame are about. */
const CRIMES: readonly Crime[] = [
  ['crashes the worker', CRASHES],
  ['gets an unknown 500', failure(500, 'cannot scan this')],
  ['is closed upon', CLOSES],
  ['gets garbage', GARBAGE],
  ['hangs', SILENCE],
];
const CHOSEN_CRIMES = CRIMES.slice(0, byLength({ short: 2, middle: 4, long: 5 }));
/** Outages in which a message at fault may hide. */
const COVERS = mixed([
  'always 500',
  'always 503',
  'Redis full',
  'the request is reset in its body',
  'the answer is closed before its first byte',
]).slice(0, byLength({ short: 1, middle: 2, long: 5 }));
let culprits = 0;

describeReal('one message', { timeout, concurrent: true }, () => {
  it.each(CHOSEN_CRIMES)(
    'that %s is set aside, after an outage and not in it',
    async (...crime) => {
      await using stage = await Stage.start(servers.rspamd, {
        settings: { LEARN_MAX_ATTEMPTS: '2' },
      });
      for (const outage of COVERS.map(formCalled)) await poison(stage, crime, outage);
      await stage.stop();
    },
  );
});

/**
 * A message that makes the controller fail, among innocent ones, while there is an outage as well:
 * it is found out when that is over, and nobody is taken for it.
 */
async function poison(stage: Stage, [, act]: Crime, outage: Form): Promise<void> {
  const { proxy, spool } = stage;
  culprits += 1;
  const culprit = makeMessage('spam', 5_000 + culprits);
  const commit: Script = (request) =>
    request !== undefined && idOf(request) === culprit.messageId ? insteadOf(act) : undefined;
  const fail = always(outage);
  const before = spool.quarantined;
  await stage.warmUp();
  proxy.script = (request) => commit(request) ?? fail(request);
  const fleet = stage.launch();
  spool.put(culprit);
  const withCulprit = { ...fleet, messages: [...fleet.messages, culprit] };
  await stage.untilPaused(withCulprit);
  const waiting = stage.waitingOf(withCulprit);
  await stage.probe(60);
  expect(spool.quarantined).toEqual(before);
  stage.expectNobodyCharged(withCulprit);
  heal(stage, outage, waiting);
  const harm = proxy.script;
  proxy.script = (request) => commit(request) ?? harm(request);
  await untilConvicted(stage, culprit);
  await stage.hurry('learn the innocent', () => spool.waiting.length === 0);
  proxy.script = () => undefined;
  await stage.untilEnded(withCulprit);
  expect(spool.reasonOf(culprit)).toMatchObject({ attempts: 2 });
  await stage.expectLearned(fleet, [...before, culprit.name]);
  stage.expectNobodyCharged(fleet);
}

/** Only what others can do shows that it is to blame: innocent ones come one by one. */
async function untilConvicted(stage: Stage, culprit: MadeMessage): Promise<void> {
  const { spool, proxy } = stage;
  const tries = (): number =>
    proxy.posts.filter(({ request }) => request && idOf(request) === culprit.messageId).length;
  const isConvicted = (): boolean => spool.quarantined.includes(culprit.name);
  for (let others = 0; !isConvicted(); others += 1) {
    expect(others).toBeLessThan(10);
    const tried = tries();
    await stage.hurry('try it', () => tries() > tried || isConvicted());
    stage.send();
    await stage.hurry('learn the others', () =>
      spool.waiting.every((place) => place.endsWith(culprit.name)),
    );
  }
}

describeReal('rspamd and its Redis', { timeout }, () => {
  /**
   * With ten seconds a post survives what a hung Redis does to rspamd 3.4: 200 after four seconds,
   * and nothing is stored.
   */
  const TIMEOUTS = byLength({ short: [1], middle: [1], long: [1, 10] });

  it.each(TIMEOUTS)('are sat out in each outage, with %i s for a post', async (seconds) => {
    await using stage = await Stage.start(servers.rspamd, {
      settings: { RSPAMD_TIMEOUT_SECONDS: String(seconds) },
    });
    const count = byLength({ short: 2, middle: Infinity, long: Infinity });
    await sitOutAll(stage, serverOutages(servers).slice(0, count));
  });
});
