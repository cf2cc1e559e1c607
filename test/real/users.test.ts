import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import type { Verdict } from '../../src/verdict.ts';
import { runCli } from '../support/run-cli.ts';
import { describeReal } from './harness.ts';
import { World } from './world.ts';

const [ALICE, BOB, CAROL, DAVE] = ['alice@x.org', 'bob@x.org', 'carol@x.org', 'dave@x.org'];

/** The message of a seed, as it was delivered to somebody. */
function deliveredTo(user: string, seed: number): MadeMessage {
  const message = makeMessage('spam', seed);
  const raw = Buffer.concat([Buffer.from(`X-Kopano-User: <${user}>\r\n`), message.raw]);
  return { ...message, name: `${user.split('@')[0]?.toUpperCase() ?? ''}${message.name}`, raw };
}

/** What rspamd answers when a user teaches it the message (once more). */
async function answer(world: World, user: string, seed: number, verdict: Verdict): Promise<number> {
  const response = await fetch(`${world.rspamd.url}/learn${verdict}`, {
    method: 'POST',
    headers: { 'deliver-to': user, 'learn-type': 'bulk' },
    body: new Uint8Array(makeMessage('spam', seed).raw),
  });
  return response.status;
}

describeReal('with a memory for each user', () => {
  test('each keeps their own verdict on one message, turned or not', async () => {
    await using world = await World.make({ rspamd: { perUser: true } });
    const daemon = world.start({ LEARN_USER_HEADER: 'X-Kopano-User,Delivered-To' });
    await world.judge(deliveredTo(ALICE, 1), 'spam');
    await world.judge(deliveredTo(BOB, 1), 'ham');
    await world.judge(makeMessage('spam', 2));
    await world.untilDone();
    expect(daemon.linesOf('message.learned')).toHaveLength(3);
    expect(daemon.linesOf('message.userless').map(({ fields }) => fields['count'])).toEqual([1]);
    expect(await answer(world, ALICE, 1, 'spam')).toBe(208);
    expect(await answer(world, BOB, 1, 'ham')).toBe(208);

    await world.judge(deliveredTo(BOB, 1), 'spam');
    await world.untilDone();
    expect(await answer(world, BOB, 1, 'spam')).toBe(208);
    expect(await answer(world, ALICE, 1, 'spam')).toBe(208);
    // Nobody else has learned it.
    expect(await answer(world, CAROL, 1, 'spam')).toBe(200);
    await daemon.stop();
  });

  test("relearn --user teaches one user's memory", async () => {
    await using world = await World.make({ rspamd: { perUser: true } });
    const folder = join(world.folder, 'mailbox');
    await mkdir(folder);
    for (const seed of [1, 2, 3]) {
      await writeFile(join(folder, `${seed}.eml`), makeMessage('spam', seed).raw);
    }
    const args = ['relearn', '--spam', folder, '--user', DAVE, '--json', '--quiet'];
    const { code, out } = await runCli(args, world.environment());
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ learned: { spam: 3, ham: 0 }, userless: 0 });
    expect(await answer(world, DAVE, 2, 'spam')).toBe(208);
    expect(await answer(world, ALICE, 2, 'spam')).toBe(200);
  });
});
