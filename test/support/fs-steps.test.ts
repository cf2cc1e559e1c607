import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { Queue } from '../../src/spool/queue.ts';
import { temporaryFolder } from './temporary.ts';
import { systemError, watchFileSystem } from './fs-steps.ts';
import type { FsStep } from './fs-steps.ts';

/** Watches what the program does, and answers what the test wants. */
function watching(hook: (step: FsStep) => void = () => undefined): string[] {
  const steps: string[] = [];
  const restore = watchFileSystem(
    (path) => path.startsWith('/proc/self/fd/'),
    (step) => {
      if (step.when === 'before') steps.push(step.call);
      hook(step);
    },
  );
  onTestFinished(restore);
  return steps;
}

function queueIn(folder: string): Queue {
  for (const verdict of ['spam', 'ham']) mkdirSync(`${folder}/${verdict}`);
  return new Queue(
    { spam: Folder.open(`${folder}/spam`), ham: Folder.open(`${folder}/ham`) },
    { maxBytes: 1_000 },
  );
}

test("the program's own steps are seen, synchronous or not, and what it has opened with them", async () => {
  const folder = temporaryFolder();
  const queue = queueIn(folder);
  writeFileSync(`${folder}/spam/a`, 'body');
  const steps = watching();
  const [found] = queue.scan();
  if (found === undefined) throw new Error('nothing was found');
  expect(await queue.read(found.entry)).toEqual({ kind: 'body', body: Buffer.from('body') });
  expect(steps).toContain('opendirSync');
  expect(steps).toContain('Dir.readSync');
  expect(steps.slice(-6)).toEqual([
    'lstatSync',
    'open',
    'FileHandle.stat',
    'FileHandle.read',
    'FileHandle.stat',
    'FileHandle.close',
  ]);
});

test('an error before a step keeps it from happening, one after it does not', () => {
  const folder = temporaryFolder();
  const queue = queueIn(folder);
  let when: FsStep['when'] = 'before';
  watching((step) => {
    if (step.call === 'renameSync' && step.when === when) throw systemError('EIO', step);
  });
  writeFileSync(`${folder}/ham/a`, 'body');
  const adopt = (): unknown => queue.adopt(queue.folder('ham'), 'a', 'spam', 'a');
  expect(adopt).toThrow('EIO: injected, rename');
  expect(readdirSync(`${folder}/spam`)).toEqual([]);
  when = 'after';
  expect(adopt).toThrow('EIO: injected, rename');
  expect(readdirSync(`${folder}/spam`)).toEqual(['a']);
});

test('ENOENT where the program asks whether something is there is an answer', () => {
  const folder = temporaryFolder();
  const queue = queueIn(folder);
  writeFileSync(`${folder}/spam/a`, 'body');
  watching((step) => {
    throw systemError('ENOENT', step);
  });
  expect(queue.find('spam', 'a')).toBeUndefined();
});
