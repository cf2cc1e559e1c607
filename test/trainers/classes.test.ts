import { expect, test } from 'vitest';
import { FaultServer } from '../faults/fault-server.ts';
import type { Act } from '../faults/fault-server.ts';
import { NOT_FOUND, SUCCESS, UNAUTHORIZED, always, answer, failure } from '../faults/plays.ts';
import { MESSAGE, example, trainerAt } from './connect.ts';

const NEVER = new AbortController().signal;

/** What comes of a post of the class `newsletter` that is answered so, and what was posted. */
async function post(act: Act, bulk = true) {
  await using server = await FaultServer.start({ play: always(act) });
  const trainer = trainerAt(server.url, { bulk });
  const outcome = await trainer.learn(example('newsletter', MESSAGE), NEVER);
  const posts = server.posts.map(({ path, headers }) => [path, headers['class']]);
  return { outcome, posts, headers: server.posts[0]?.headers };
}

test('a further class is posted to /learnclass with its name, and as bulk', async () => {
  const { outcome, posts, headers } = await post(SUCCESS);
  expect(outcome).toEqual({ kind: 'learned' });
  expect(posts).toEqual([['/learnclass', 'newsletter']]);
  expect(headers?.['learn-type']).toBe('bulk');
  const known = failure(208, '<a@b> has been already learned as newsletter, ignore it');
  expect((await post(known)).outcome).toEqual({ kind: 'duplicate' });
  expect((await post(SUCCESS, false)).headers).not.toHaveProperty('learn-type');
});

test('spam and ham have no such header', async () => {
  await using server = await FaultServer.start({ play: always(SUCCESS) });
  const trainer = trainerAt(server.url);
  for (const verdict of ['spam', 'ham']) await trainer.learn(example(verdict, MESSAGE), NEVER);
  expect(server.posts.map(({ path }) => path)).toEqual(['/learnspam', '/learnham']);
  for (const { headers } of server.posts) expect(headers).not.toHaveProperty('class');
});

/** The bytes of 3.4 and 3.12.1 (no such path), and of 4.1.5. */
test.each([
  [
    'rspamd is too old',
    NOT_FOUND,
    /^rspamd 3\.4 learns spam and ham, and no class newsletter/,
    /4\.1/,
  ],
  [
    'the classifier has no such class',
    failure(404, "class 'newsletter' is not defined in classifier (any)"),
    /^rspamd's classifier has no class newsletter \(404/,
    /define newsletter in the classifier/,
  ],
  [
    'a proxy takes the header away',
    failure(400, 'Class header is required for multiclass learning'),
    /^the header Class does not reach rspamd/,
    /let the proxy .* pass the header Class/,
  ],
])('where %s, only that class is held back', async (_what, act, reason, hint) => {
  expect((await post(act)).outcome).toEqual({
    kind: 'held',
    isOfClass: true,
    reason: expect.stringMatching(reason) as string,
    hint: expect.stringMatching(hint) as string,
  });
});

test('what is no matter of the class means what it means for any', async () => {
  expect((await post(UNAUTHORIZED)).outcome).toMatchObject({
    kind: 'misconfigured',
    password: true,
  });
  // Not rspamd's own 404: nobody knows what stands there.
  const page = answer('404 Not Found', '<html>', { type: 'text/html' });
  const bytes = [...page.pieces]
    .map(String)
    .join('')
    .replace('Server: rspamd/3.4', 'Server: nginx');
  expect((await post({ pieces: [bytes], then: 'end' })).outcome).toMatchObject({
    kind: 'misconfigured',
  });
});
