import { expect } from 'vitest';
import { makeMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import type { Act, FaultRequest } from '../../faults/fault-server.ts';
import { CLOSES, CRASHES, GARBAGE, SILENCE, failure } from '../../faults/plays.ts';
import { LENGTH } from '../../support/length.ts';
import type { Chance } from '../../support/seed.ts';
import type { Form } from './forms.ts';
import { FAITHFUL } from './proxy.ts';
import type { Contact, Exchange, Script } from './proxy.ts';
import { idOf } from './stage.ts';
import type { Fleet, Stage } from './stage.ts';

/** What is done with a stage: harm, and what has to hold during and after it. */

/** Does a form's harm to every connection, by turns. */
export function always({ faults }: Form): Script {
  let turn = 0;
  return (request) => {
    const fault = faults[turn % faults.length];
    if ((fault?.kind === 'intrusion') !== (request === undefined)) return undefined;
    turn += 1;
    return fault;
  };
}

/** A stretch of harm, with the controller up before: everything fails until it is over. */
export async function stretch(stage: Stage, form: Form): Promise<void> {
  const { proxy, spool, daemon } = stage;
  await stage.warmUp();
  proxy.script = always(form);
  const fleet = stage.launch();
  await daemon.until('pick all up', () => spool.names('').length === 0);
  await stage.untilPaused(fleet);
  if (form.slow === undefined || LENGTH !== 'short') await stage.look();
  const probes = form.slow === 'post' ? 3 : Math.max(6, form.faults.length);
  const waiting = await probeBy(stage, fleet, probes);
  heal(stage, form, waiting);
  await stage.untilEnded(fleet);
  await stage.expectLearned(fleet);
  stage.expectNobodyCharged(fleet);
  stage.expectFewLines(fleet, 6 + 2 * form.faults.length);
}

/**
 * Hurries the paused controller's probes: they go one at a time, by turns.
 * @returns the Message-IDs of those that wait
 */
export async function probeBy(
  stage: Stage,
  fleet: Fleet,
  count: number,
): Promise<ReadonlySet<string>> {
  const { contacts } = stage.proxy;
  const waiting = stage.waitingOf(fleet);
  const first = contacts.length;
  const isDone = (): boolean => stage.waitingOf(fleet).size === 0;
  // a connection on which nothing was read yet may be a question, such as the one of /stat
  const posts = (): Contact[] =>
    contacts
      .slice(first)
      .filter(({ request, fault }) =>
        request === undefined ? fault !== undefined : request.method !== 'GET',
      );
  // where rspamd itself hangs, the question before the post is never answered
  const unheard = (): Contact[] =>
    contacts.slice(first).filter(({ request, said }) => request?.path === '/ping' && said === '');
  await stage.hurry('probe', () => isDone() || posts().length + unheard().length >= count);
  const wasUp = stage.linesOf(fleet).some(({ event }) => event === 'controller.up');
  if (!wasUp && !isDone()) expectOneAtATime(posts(), waiting);
  return waiting;
}

/** Ends the harm with the next message that is tried. */
function heal({ proxy }: Stage, form: Form, waiting: ReadonlySet<string>): void {
  const harm = proxy.script;
  if (form.faults.some(({ kind }) => kind === 'intrusion')) {
    proxy.script = () => undefined;
    return;
  }
  let isOver = false;
  proxy.script = (request) => {
    isOver ||= request?.method === 'POST' && waiting.has(messageIdOf(request) ?? '');
    return isOver ? undefined : harm(request);
  };
}

/** Changing weather: some connections are harmed, one in three at first, until so many were. */
export async function weather(
  stage: Stage,
  forms: readonly Form[],
  chance: Chance,
  harms: number,
): Promise<void> {
  const { proxy } = stage;
  await stage.warmUp();
  const faults = forms.flatMap((form) => form.faults).filter(({ kind }) => kind === 'exchange');
  const first = proxy.contacts.length;
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
    expectFairCharges(stage, fleet, proxy.contacts.slice(first));
    expect(proxy.contacts.length - first).toBeLessThan(100 * harms);
  }
}

export type Crime = readonly [name: string, act: Act];

export const CRIMES: readonly Crime[] = [
  ['crashes the worker', CRASHES],
  ['gets an unknown 500', failure(500, 'cannot scan this')],
  ['is closed upon', CLOSES],
  ['gets garbage', GARBAGE],
  ['hangs', SILENCE],
];

let culprits = 0;

/**
 * A message that makes the controller fail, among innocent ones, while there is an outage as well:
 * it is found out when that is over, and nobody is taken for it. Wants LEARN_MAX_ATTEMPTS=2.
 */
export async function poison(stage: Stage, [name, act]: Crime, outage: Form): Promise<void> {
  const { proxy, spool } = stage;
  culprits += 1;
  const culprit = makeMessage('spam', 5_000 + culprits);
  const crime: Exchange = { kind: 'exchange', name, hears: () => 0, says: () => act };
  const isCulprit = (request: FaultRequest | undefined): boolean =>
    request !== undefined && messageIdOf(request) === culprit.messageId;
  const commit: Script = (request) => (isCulprit(request) ? crime : undefined);
  const fail = always(outage);
  const before = spool.quarantined;
  await stage.warmUp();
  proxy.script = (request) => commit(request) ?? fail(request);
  const fleet = stage.launch();
  stage.drop(culprit);
  const withCulprit = { ...fleet, messages: [...fleet.messages, culprit] };
  await stage.untilPaused(withCulprit);
  const count = outage.slow === undefined ? 60 : 4;
  const waiting = await probeBy(stage, withCulprit, count);
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
  const triedSo = (): number =>
    proxy.posts.filter((each) => idOf(each) === culprit.messageId).length;
  const isConvicted = (): boolean => spool.quarantined.includes(culprit.name);
  for (let others = 0; !isConvicted(); others += 1) {
    expect(others).toBeLessThan(10);
    const tried = triedSo();
    await stage.hurry('try it', () => triedSo() > tried || isConvicted());
    stage.send();
    await stage.hurry(
      'learn the others',
      () => spool.waiting.filter((name) => name !== culprit.name).length === 0,
    );
  }
}

// --- what the record shows

/**
 * While the controller was down it was asked by one message at a time, and never by the same one
 * twice running while another waited.
 * @param probes what came in meanwhile
 * @param waiting the Message-IDs of those that waited
 */
function expectOneAtATime(probes: readonly Contact[], waiting: ReadonlySet<string>): void {
  for (const [index, probe] of probes.entries()) {
    // Where the daemon gave up before it was answered, a busy proxy may see its next connection first.
    const beside = probes
      .slice(0, index)
      .filter((each) => overlap(each, probe) && !(each.said === '' && each.over !== undefined));
    expect(beside.map(told)).toEqual([]);
  }
  if (waiting.size < 2) return;
  const asked = probes
    .filter((each) => waiting.has(idOf(each) ?? ''))
    // what was answered 200 is posted again at once, for its proof
    .filter((_, index, those) => those[index - 1]?.said.startsWith('HTTP/1.1 200') !== true)
    .map(idOf);
  for (const [index, id] of asked.entries()) expect(id).not.toBe(asked[index + 1]);
}

/**
 * Nobody was charged more often than it failed while alone with the controller, which answered
 * another one afterwards: from here that looks as if it were its own fault.
 */
export function expectFairCharges(stage: Stage, fleet: Fleet, contacts: readonly Contact[]): void {
  const posts = contacts.filter(({ request }) => request?.method === 'POST');
  const names = new Map(fleet.messages.map(({ name, messageId }) => [name, messageId]));
  for (const { file, charges, text } of stage.linesOf(fleet)) {
    const id = names.get(file);
    if (id === undefined || charges === 0) continue;
    const fair = posts.filter((each, index) => {
      if (idOf(each) !== id || isAnswered(each) || !isAlone(each, posts)) return false;
      return posts.slice(index + 1).some((next) => idOf(next) !== id && isAnswered(next));
    });
    expect(charges, text).toBeLessThanOrEqual(fair.length);
  }
}

/** rspamd's own answer got to the daemon, and it was a good one. */
function isAnswered({ fault, said }: Contact): boolean {
  return fault === FAITHFUL && said.startsWith('HTTP/1.1 20');
}

function isAlone(contact: Contact, all: readonly Contact[]): boolean {
  const before = all.indexOf(contact);
  return !all.some((each, index) => {
    if (index === before) return false;
    return index < before ? overlap(each, contact) : overlap(contact, each);
  });
}

/**
 * Whether the earlier one was still going on when the later one came. That its client has left is
 * noticed a little late, now and then after the next connection, but not after the next request.
 */
function overlap(earlier: Contact, later: Contact): boolean {
  const { over = Infinity, asked = over } = earlier;
  return later.since < asked || (later.asked ?? Infinity) < over;
}

function messageIdOf(request: FaultRequest): string | undefined {
  return /^Message-ID: <(.*)>\r?$/m.exec(request.body.toString('latin1'))?.[1];
}

function told({ request, fault, since, asked, over, said }: Contact): string {
  const moments = JSON.stringify({ since, asked, over, said });
  return `${request?.head.split('\r\n', 1)[0] ?? ''} ${fault?.name ?? ''} ${moments}`;
}
