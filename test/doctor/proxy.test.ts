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
  /** Answers when it has seen no more than the head. */
  readonly early?: (request: FaultRequest) => Act | undefined;
}

/** What the doctor finds of rspamd behind such a proxy, which puts its own name on all answers. */
async function seen({ says, early }: Front): Promise<readonly Line[]> {
  const rspamd = plays(
    { when: learns, act: failure(400, 'Empty body is not permitted') },
    { when: ({ path }) => path.startsWith('/history'), act: answer('200 OK', '{"rows":[]}') },
  );
  const server = await FaultServer.start({
    playsPing: true,
    play: (request) => says?.(request) ?? passedOn(rspamd(request)),
    ...(early === undefined ? {} : { early }),
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const settings = {
    KOPANO_SPAMD_LIB: '/nowhere',
    RSPAMD_URL: server.url,
    LEARN_MAX_BYTES: '20971520',
  };
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

test('a limit on sizes, if there is one, is found by announcing a message, of which nothing is sent', async () => {
  expect((await seen({})).filter(({ state }) => state === 'failed')).toEqual([]);
  const announced: string[] = [];
  const lines = await seen({
    early: ({ path, headers }) => {
      const bytes = headers['content-length'] ?? '0';
      if (bytes !== '0') announced.push(`${path} ${bytes}`);
      return Number(bytes) > 1_048_576 ? nginxPage('413 Request Entity Too Large') : undefined;
    },
  });
  expect(announced).toEqual(['/learnspam 20971520']);
  expect(lines.filter(({ state }) => state === 'failed')).toEqual([]);
  expect(lines.find(({ text }) => text.includes('413'))).toMatchObject({
    state: 'warning',
    text: expect.stringMatching(/LEARN_MAX_BYTES.*Cure: .*client_max_body_size/) as string,
  });
});
