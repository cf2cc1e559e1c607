/**
 * The ceiling: the least that any client in Node.js has to do. Reads `CORPUS/spam` and `CORPUS/ham`
 * into memory, then posts all of it to the controller on PORT, 32 at a time: both classes evenly
 * mixed, as `relearn` does it, or all spam first, as rspamc has to be used. It proves nothing and
 * keeps nothing apart: of duplicates in flight together rspamd learns both. Prints, as one line of
 * JSON, wall clock and CPU time of the posting alone, and the answers.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

const IN_FLIGHT = 32;

interface Post {
  readonly path: string;
  readonly body: Buffer;
  /** Where it comes in its class: 0 is first, 1 would be after the last. */
  readonly place: number;
}

const [, , port, corpus, order] = process.argv;
if (port === undefined || corpus === undefined || (order !== 'mixed' && order !== 'spam-first'))
  throw new Error('usage: bare-posts.js PORT CORPUS mixed|spam-first');

const posts = ['spam', 'ham'].flatMap((verdict) => postsOf(verdict, join(corpus, verdict)));
if (order === 'mixed') posts.sort((a, b) => a.place - b.place);

const answers = { learned: 0, known: 0, refused: 0, failed: 0 };
const waiting = posts.values();
const cpuBefore = process.cpuUsage();
const start = performance.now();
await Promise.all(Array.from({ length: IN_FLIGHT }, postOneByOne));
const wallMs = performance.now() - start;
const { user, system } = process.cpuUsage(cpuBefore);
console.log(JSON.stringify({ wallMs, cpuMs: (user + system) / 1_000, ...answers }));

function postsOf(verdict: string, folder: string): Post[] {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map(({ name }, index) => ({
    path: `/learn${verdict}`,
    body: readFileSync(join(folder, name)),
    place: index / files.length,
  }));
}

async function postOneByOne(): Promise<void> {
  for (const next of waiting) {
    const status = await statusOf(next);
    if (status === 200) answers.learned += 1;
    else if (status === 208) answers.known += 1;
    else if (status === 204) answers.refused += 1;
    else answers.failed += 1;
  }
}

/** Undefined when there was no answer. */
async function statusOf({ path, body }: Post): Promise<number | undefined> {
  return new Promise((resolve) => {
    let status: number | undefined;
    const headers = { 'Content-Length': body.length, 'Learn-Type': 'bulk' };
    const target = { host: '127.0.0.1', port, method: 'POST', path, headers, agent: false };
    const outgoing = request(target, (response) => {
      status = response.statusCode;
      response.resume();
    });
    // a 204 with a body, as rspamd sends it, is an error to Node's parser once it is answered
    outgoing.on('error', () => undefined);
    outgoing.on('close', () => resolve(status));
    outgoing.end(body);
  });
}
