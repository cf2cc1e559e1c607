import { expect, onTestFinished, test } from 'vitest';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act, FaultRequest } from '../faults/fault-server.ts';
import { answer, failure, learns, plays } from '../faults/plays.ts';
import { nginxPage, passedOn } from '../faults/proxy-pages.ts';
import { examine } from '../support/examine.ts';
import type { Line } from '../support/examine.ts';

/** A proxy in front of rspamd: what it says by itself, and its limits, have cures of their own. */

interface Front {
  /** Answers by itself. */
  readonly says?: (request: FaultRequest) => Act | undefined;
}

/** What the doctor finds of rspamd behind such a proxy, which puts its own name on all answers. */
async function seen({ says }: Front): Promise<readonly Line[]> {
  const rspamd = plays(
    { when: learns, act: failure(400, 'Empty body is not permitted') },
    { when: ({ path }) => path.startsWith('/history'), act: answer('200 OK', '{"rows":[]}') },
  );
  const server = await FaultServer.start({
    playsPing: true,
    play: (request) => says?.(request) ?? passedOn(rspamd(request)),
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const settings = { KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: server.url };
  return (await examine({ ...settings, RSPAMD_PASSWORD: 'sesame' })).of(server.url);
}

test.each(['/ping', '/stat', '/learnspam'])(
  'a proxy that answers %s by itself is told apart from rspamd',
  async (path) => {
    const act = nginxPage('401 Unauthorized');
    const lines = await seen({ says: (request) => (request.path === path ? act : undefined) });
    const faults = lines.filter(({ state }) => state === 'failed');
    expect(faults).toHaveLength(1);
    expect(faults[0]?.text).toMatch(
      /a proxy .*a login of its own.*Cure: RSPAMD_PASSWORD .*can't help/,
    );
  },
);

test('a limited rate is no fault, but worth to be raised', async () => {
  const lines = await seen({ says: () => nginxPage('429 Too Many Requests') });
  expect(lines.filter(({ state }) => state === 'failed')).toEqual([]);
  expect(lines[0]).toMatchObject({
    state: 'warning',
    text: expect.stringMatching(/limits the rate.*Cure: .*limit_req/) as string,
  });
});

test('a proxy that passes everything on is content', async () => {
  const lines = await seen({});
  expect(lines.map(({ text }) => text).join('\n')).not.toMatch(/413|proxy/);
  expect(lines.filter(({ state }) => state === 'failed')).toEqual([]);
});
