import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { examine } from '../support/examine.ts';
import { needs } from '../support/needs.ts';
import { call } from '../support/run-cli.ts';
import { describeReal, hasClasses } from './harness.ts';
import { KOPANO, World } from './world.ts';
import { until } from '../support/until.ts';

const SETTINGS = { LEARN_CLASSES: 'newsletter' };

const NEW = needs('rspamd 4.1 or later', hasClasses());
const OLD = needs('rspamd before 4.1', !hasClasses());

async function makeWorld(classes: readonly string[]): Promise<World> {
  const world = await World.make({ rspamd: { classes } });
  const folder = join(world.lib, 'newsletter');
  await mkdir(folder, { recursive: true });
  await chown(folder, KOPANO.uid, KOPANO.gid);
  return world;
}

/** Writes a message as a newsletter, as a filter rule of the site does. */
async function drop(world: World, { name, raw }: MadeMessage): Promise<void> {
  await world.write({ verdict: 'newsletter', name, body: raw });
}

/** The learned messages of a class, by Redis. */
async function learns(world: World, name: string): Promise<number> {
  return Number((await world.redis.command('HGET', 'RS', `learns_${name}`)) ?? 0);
}

describeReal('a further class of rspamd', NEW, () => {
  it('is learned and proven, and a turned verdict moves the count from class to class', async () => {
    await using world = await makeWorld(['newsletter']);
    const settings = { ...SETTINGS, LEARN_AFTER: 'archive' };
    const daemon = world.start(settings);
    const messages = [1, 2, 3].map((seed) => makeMessage('ham', seed));
    const [turned, other] = [makeMessage('ham', 4), makeMessage('spam', 5)];
    for (const message of [...messages, turned]) await drop(world, message);
    await world.judge(other, 'spam');
    await world.untilDone();
    expect(
      daemon.logged('message.learned').map(({ verdict, proven }) => [verdict, proven]),
    ).toEqual(
      expect.arrayContaining([
        ['newsletter', true],
        ['spam', true],
      ]),
    );
    for (const message of messages) expect(await world.status(message, 'newsletter')).toBe(208);
    expect(await learns(world, 'newsletter')).toBe(4);
    // Out of the class, into it again, and out of it.
    await world.judge(turned, 'ham');
    await world.untilDone();
    expect([await learns(world, 'newsletter'), await learns(world, 'ham')]).toEqual([3, 1]);
    await drop(world, turned);
    await world.untilDone();
    expect([await learns(world, 'newsletter'), await learns(world, 'ham')]).toEqual([4, 0]);
    const day = new Date().toISOString().slice(0, 10);
    expect(world.names(`archive/newsletter/${day}`)).toContain(turned.name);
    expect(world.names(`archive/ham/${day}`)).toEqual([]);
    expect(await readFile(join(world.stateDir, 'archive/newsletter', day, turned.name))).toEqual(
      turned.raw,
    );
  });

  it('has its column in status and its finding in the doctor', async () => {
    await using world = await makeWorld(['newsletter']);
    const daemon = world.start(SETTINGS);
    await drop(world, makeMessage('ham', 6));
    await daemon.says('message.learned');
    await until('no newsletter waits', () => world.names('queue/newsletter').length === 0);
    const environment = world.environment(SETTINGS);
    const overview = JSON.parse((await call(['status', '--json'], environment)).out) as {
      readonly daemon: { readonly report: { readonly messages: Record<string, unknown> } };
    };
    expect(overview).toMatchObject({ queued: { spam: 0, ham: 0, newsletter: 0 } });
    const { messages } = overview.daemon.report;
    expect(messages['newsletter']).toMatchObject({ learned: 1 });
    const text = (await call(['status'], environment)).out;
    expect(text).toMatch(/^ {2}since its start +spam +ham +newsletter\n {2}learned +0 +0 +1$/m);
    const seen = await examine(environment);
    expect(seen.lines.map(({ text: says }) => says)).toContainEqual(
      expect.stringMatching(/learns the class newsletter/),
    );
  });

  it('that the classifier does not know is held back, and nothing else is', async () => {
    await using world = await makeWorld(['other']);
    const daemon = world.start(SETTINGS);
    const held = makeMessage('ham', 7);
    await drop(world, held);
    const wrong = await daemon.says('controller.misconfigured');
    expect(wrong['reason']).toMatch(/^rspamd's classifier has no class newsletter \(404 class/);
    await world.judge(makeMessage('spam', 8));
    await daemon.says('message.learned');
    const seen = await examine(world.environment(SETTINGS));
    expect(seen.lines.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/has no class newsletter .*Cure: define newsletter/),
    );
    expect(world.names('queue/newsletter')).toEqual([held.name]);
  });

  it('is taught by relearn, from a folder of its name and by --class', async () => {
    await using world = await makeWorld(['newsletter']);
    const [one, two] = [makeMessage('ham', 9), makeMessage('ham', 10)];
    await drop(world, one);
    const single = join(world.folder, two.name);
    await writeFile(single, two.raw);
    const KOPANO_SPAMD_LIB = join(world.folder, 'no-spool');
    const environment = world.environment({ KOPANO_SPAMD_LIB, LEARN_STATE_DIR: '', ...SETTINGS });
    const args = ['relearn', '--json', world.lib, '--class', `newsletter=${single}`];
    const result = await call(args, environment);
    expect(result).toMatchObject({ code: 0, err: expect.not.stringContaining('error') as unknown });
    expect(JSON.parse(result.out)).toMatchObject({
      ending: 'complete',
      learned: { spam: 0, ham: 0, newsletter: 2 },
    });
    for (const message of [one, two]) expect(await world.status(message, 'newsletter')).toBe(208);
  });
});

describeReal('an rspamd without classes', OLD, () => {
  it('learns spam and ham, and holds the messages of a class until it is updated', async () => {
    await using world = await makeWorld([]);
    const daemon = world.start({ ...SETTINGS, LEARN_MAX_ATTEMPTS: '1' });
    const held = makeMessage('ham', 11);
    await drop(world, held);
    const wrong = await daemon.says('controller.misconfigured');
    expect(wrong['reason']).toMatch(
      /^rspamd 3\.\d+(\.\d+)? learns spam and ham, and no class newsletter/,
    );
    expect(wrong['cure']).toContain('update rspamd to 4.1 or later');
    for (const seed of [12, 13]) await world.judge(makeMessage('spam', seed));
    await world.untilDone();
    expect(await world.forgotten()).toEqual([]);
    const seen = await examine(world.environment(SETTINGS));
    expect(seen.lines.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/no class newsletter .*Cure: update rspamd to 4\.1/),
    );
    expect(world.names('queue/newsletter')).toEqual([held.name]);
    expect(world.quarantined).toEqual([]);
  });
});
