import { expect, test } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { describeReal } from './harness.ts';
import { World } from './world.ts';

/** A message to somebody whose address has so many characters before the @. */
function messageTo(localPart: number, seed: number): MadeMessage {
  const message = makeMessage('spam', seed);
  const name = 'abcdefghijklmnopqrstuvwxyz'.slice(0, localPart);
  const raw = message.raw.toString('latin1').replace(/^To: .*$/m, `To: <${name}@x.org>`);
  return { ...message, raw: Buffer.from(raw, 'latin1') };
}

describeReal('rspamd with expand_keys and per_user', () => {
  // 3.12.1 answers "500 ERR user_script:1: Missing bytes in input" to some messages for addresses of 13
  // or 14 characters, always (rspamd issue 5904); 3.4 and 4.1.5 learn these like any other.
  test('that cannot learn what goes to some addresses learns all else at once', async () => {
    await using world = await World.make({ rspamd: { perUser: true, expandKeys: true } });
    const daemon = world.start({ LEARN_MAX_ATTEMPTS: '2' });
    const odd = Array.from({ length: 8 }, (_, index) => messageTo(7 + (index % 2), 100 + index));
    for (const message of odd) await world.judge(message);
    const isDone = (name: string): boolean =>
      daemon.lines.some(
        ({ event, fields }) =>
          fields['file'] === name && ['message.learned', 'message.quarantined'].includes(event),
      );
    const ended = (): boolean => odd.every(({ name }) => isDone(name));
    for (let seed = 200; !ended() && seed < 260; seed += 1) {
      const good = messageTo(20, seed);
      await world.judge(good);
      await daemon.until(`learn ${good.name}`, () => isDone(good.name));
      expect(daemon.linesOf('message.learned').map(({ fields }) => fields['file'])).toContain(
        good.name,
      );
    }
    expect(ended()).toBe(true);
    // Which ones depends on the version: any that is set aside was so for rspamd's own words.
    const reasons = daemon.linesOf('message.quarantined').map(({ fields }) => fields['reason']);
    for (const reason of reasons) expect(reason).toContain('Missing bytes in input');
    expect(daemon.linesOf('controller.down').length).toBeLessThanOrEqual(2);
    await daemon.stop();
  });
});
