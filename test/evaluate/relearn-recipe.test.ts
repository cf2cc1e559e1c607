import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Collection } from '../../src/evaluate/collection.ts';
import { readMessages } from '../../src/evaluate/reading.ts';
import { pathList, relearnCommands } from '../../src/evaluate/relearn-recipe.ts';
import type { BaseVerdict } from '../../src/verdict.ts';
import { PathSource } from '../../src/relearn/sources/path-source.ts';
import { mail, mboxOf, putIn, readingOptions } from '../support/relearn-sources.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** What a list of all messages says. */
async function listOf(sources: readonly (readonly [BaseVerdict, path: string])[]) {
  const collection = new Collection(temporaryFolder());
  await readMessages({
    sources: sources.map(([verdict, path]) => new PathSource(path, verdict, readingOptions())),
    collection,
    limit: Infinity,
    now: Date.now(),
    stop: new AbortController().signal,
    onMessage: () => undefined,
    onFailed: () => undefined,
  });
  const { content, byVerdict } = pathList(collection, collection.messages);
  collection.close();
  return { lines: content.toString().split('\n').slice(0, -1), byVerdict };
}

test('an mbox is in no list, as its path leads to all of its messages', async () => {
  const folder = temporaryFolder();
  const several = putIn(folder, 'several.mbox', mboxOf([mail('one'), mail('two')]));
  const single = putIn(folder, 'single.mbox', mboxOf([mail('three')]));
  const file = putIn(folder, 'spam/four#%', mail('four'));
  const { lines, byVerdict } = await listOf([
    ['spam', several],
    ['spam', single],
    ['spam', join(folder, 'spam')],
  ]);
  expect(lines).toEqual([single, file]);
  expect(byVerdict).toEqual({ spam: 2, ham: 0 });
});

/** What `kopano-learnd` would be called with. */
function taughtBy(command: string): string[] {
  const isSaid = command.replace(/kopano-learnd relearn$/, "printf '%s\\n'");
  const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' };
  const printed = execFileSync('/bin/sh', ['-c', isSaid], { env, encoding: 'latin1' });
  return printed.split('\n').slice(0, -1);
}

test('of both classes each message is taught the other way, whatever the sources are called', () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  const list = at('list');
  const [odd, file] = [at('it (1)+/odd\u00ff'), at('one.eml')];
  const spam = [at('spam/1'), odd, file];
  const ham = [at('spam-free/2'), at('one-eml'), at('one.eml.old')];
  writeFileSync(list, [...spam, ...ham].map((each) => `${each}\n`).join(''), 'latin1');
  const paths = { spam: [at('spam'), at('it (1)+'), file], ham: [folder] };
  const sources = { dirs: [], paths };
  const commands = relearnCommands(list, sources, { spam: 3, ham: 3 });
  expect(commands.map(taughtBy)).toEqual([
    spam.map((path) => `--ham=${path}`),
    ham.map((path) => `--spam=${path}`),
  ]);
});
