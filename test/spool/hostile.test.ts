import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { Fifo } from '../support/fifo.ts';
import { actOnce, isStep } from '../support/fs-steps.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { put, setMtime } from '../support/test-spool.ts';
import type { TestSpool } from '../support/test-spool.ts';

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  bench = new PickupBench();
  ({ spool } = bench);
});

describe('what is no regular file is left alone, and said once:', () => {
  test('symlinks, wherever they lead, a FIFO and a folder with what is in it', async () => {
    const secret = put(`${spool.lib}/secret`, 'secret');
    symlinkSync(secret, spool.dropPath('spam', 'a.eml'));
    symlinkSync('/nowhere', spool.dropPath('spam', 'b.eml'));
    symlinkSync(spool.dropPath('ham'), spool.dropPath('spam', 'c.eml'));
    const fifo = await Fifo.make(spool.dropPath('spam', 'd.eml'));
    mkdirSync(spool.dropPath('spam', 'e.eml'));
    put(spool.dropPath('spam', 'e.eml/inside.eml'), 'body');
    const names = ['a.eml', 'b.eml', 'c.eml', 'd.eml', 'e.eml'];
    await bench.start();
    await bench.pass(90_000);
    expect(bench.places).toEqual([]);
    expect(spool.dropped('spam')).toEqual(names);
    expect(readFileSync(secret, 'utf8')).toBe('secret');
    expect(await fifo.wasOpened()).toBe(false);
    expect(readdirSync(spool.dropPath('spam', 'e.eml'))).toEqual(['inside.eml']);
    expect(bench.recorder.fieldOf('spool.ignored', 'file').sort()).toEqual(names);
  });

  test('a thousand times over, without a thousand and one lines', async () => {
    await bench.start();
    for (let i = 0; i < 1_100; i += 1) symlinkSync('/', spool.dropPath('spam', `${i}`));
    await bench.pass(30_000);
    expect(bench.recorder.of('spool.ignored').length).toBeLessThanOrEqual(1_000);
    spool.drop('spam', 'z.eml');
    await bench.flowUntilQueued('spam/z.eml');
  });
});

describe('a name', () => {
  const names: [what: string, bytes: Buffer, key: string][] = [
    ['with a newline', Buffer.from('a\nb.eml'), 'a%0Ab.eml'],
    ['with a leading dash', Buffer.from('-rf'), '%2Drf'],
    ['in UTF-8', Buffer.from('ü.eml'), '%C3%BC.eml'],
    ['that is not UTF-8', Buffer.from('ü.eml', 'latin1'), '%FC.eml'],
  ];

  test('of 255 bytes is taken under a key of 200', async () => {
    await bench.start();
    dropBytes('spam', Buffer.alloc(255, 'a'), 'long');
    dropBytes('spam', Buffer.alloc(255, 0xfc), 'longer');
    await bench.flowUntil('both are taken', () => bench.queued.length === 2);
    for (const place of spool.queued) {
      expect(place).toMatch(/^spam\/[a%FC]+~[0-9a-f]{32}$/);
      expect(place.length - 'spam/'.length).toBeLessThanOrEqual(200);
    }
  });

  test.each(names)(
    '%s meets its twin and what the queue holds of it',
    async (_what, bytes, key) => {
      spool.enqueue('spam', key, 'oldest');
      dropBytes('spam', bytes, 'older', 1_000);
      dropBytes('ham', bytes, 'newer', 2_000);
      await bench.start();
      await bench.flowToTheEnd(`ham/${key}`);
      expect(spool.dropped('spam').concat(spool.dropped('ham'))).toEqual([]);
    },
  );

  test('never reaches a log uncleaned', async () => {
    await bench.start();
    symlinkSync('/', spool.dropPath('spam', 'a\n\u001b[31m\u202eb.eml'));
    dropBytes('ham', Buffer.from('x\u0007\n.eml'), '');
    await bench.pass(700_000);
    const files = bench.recorder.lines.map(({ fields }) => String(fields['file']));
    expect(files).toHaveLength(2);
    for (const file of files) expect(file).toMatch(/^[ -~\u00a0-\u00ff]+$/);
    for (const { message } of bench.recorder.lines) expect(message).not.toMatch(/x\?|31m/);
  });
});

/** Drops a message under a name of any bytes. */
function dropBytes(verdict: 'spam' | 'ham', name: Buffer, body: string, mtime = 1_000): void {
  const path = put(`${spool.lib}/new`, body);
  setMtime(path, mtime);
  renameSync(path, Buffer.concat([Buffer.from(spool.dropPath(verdict)), name]));
}

describe('a file', () => {
  test('that is a link of what the queue holds already takes its place all the same', async () => {
    linkSync(spool.enqueue('spam', 'a.eml', 'body'), spool.dropPath('spam', 'a.eml'));
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    await bench.pass(5_000);
    expect(spool.dropped('spam')).toEqual([]);
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(lstatSync(spool.statePath('queue/spam/a.eml')).nlink).toBe(1);
  });

  test('whose place in the queue a folder has taken keeps no other from being taken', async () => {
    mkdirSync(spool.statePath('queue/spam/a.eml'));
    spool.drop('spam', 'a.eml');
    await bench.start();
    for (let i = 0; i < 5; i += 1) {
      const start = bench.clock.monotonic();
      spool.drop('spam', `${i}.eml`);
      await bench.flowUntilQueued(`spam/${i}.eml`);
      expect(bench.clock.monotonic() - start).toBeLessThan(4_000);
    }
    expect(spool.dropped('spam')).toEqual(['a.eml']);
    rmSync(spool.statePath('queue/spam/a.eml'), { recursive: true });
    await bench.flowUntilQueued('spam/a.eml');
  });

  test('that is swapped for a symlink just before the rename is not read', async () => {
    const secret = put(`${spool.lib}/secret`, 'secret');
    const path = spool.drop('spam', 'a.eml', 'body');
    actOnce(isStep('renameSync', '/a.eml'), () => {
      unlinkSync(path);
      symlinkSync(secret, path);
    });
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    expect(bench.queued).toEqual([{ place: 'spam/a.eml', settled: false }]);
    expect(await spool.queue.read(spool.entry('spam', 'a.eml'))).toEqual({
      kind: 'unfit',
      reason: 'not a regular file',
    });
  });

  test('in a queue that has vanished is a fault, and stays', async () => {
    rmSync(spool.statePath('queue/spam'), { recursive: true });
    spool.drop('spam', 'a.eml');
    await bench.start();
    await bench.flowUntilLogged('disk.fault');
    expect(spool.dropped('spam')).toEqual(['a.eml']);
    writeFileSync(spool.dropPath('ham', 'b.eml'), 'body');
    await bench.flowUntilQueued('ham/b.eml');
  });
});
