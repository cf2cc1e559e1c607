import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { plainName } from '../../src/host.ts';
import { needsChown } from '../support/needs.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { NOBODY } from '../support/temporary.ts';
import { TestSpool, setMtime } from '../support/test-spool.ts';

/** What an ordinary user's daemon meets. */

/** The group may read it, its owner may not. */
const UNREADABLE = 0o060;

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  bench = new PickupBench();
  ({ spool } = bench);
});

describe('an unreadable file', () => {
  test('is said once after ten minutes, with its owner, its group and its mode', async () => {
    await bench.start();
    spool.drop('spam', 'a.eml', 'body', UNREADABLE);
    await bench.pass(590_000);
    expect(bench.recorder.of('spool.stuck')).toEqual([]);
    await bench.pass(120_000);
    const line = bench.recorder.only('spool.stuck');
    expect(line.fields).toEqual({
      verdict: 'spam',
      file: 'a.eml',
      reason: 'unreadable',
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      mode: '0060',
    });
    expect(line.message).toContain('sa_group');
  });

  test('as the newer twin holds its sibling back until it is stuck', async () => {
    await bench.start();
    spool.drop('ham', 'a.eml', 'ham');
    spool.drop('spam', 'a.eml', 'spam', UNREADABLE);
    setMtime(spool.dropPath('ham', 'a.eml'), 1_000);
    await bench.pass(590_000);
    expect(bench.places).toEqual([]);
    await bench.flowUntilQueued('ham/a.eml');
    expect(spool.dropped('spam')).toEqual(['a.eml']);
    // whichever of the two is looked at first
    await bench.flowUntilLogged('spool.stuck');
    expect(bench.recorder.of('spool.stuck')).toHaveLength(1);
  });
});

test('an unreadable older twin gives way, and is not learned last once it can be read', async () => {
  setMtime(spool.drop('spam', 'a.eml', 'spam', UNREADABLE), 1_000);
  spool.drop('ham', 'a.eml', 'ham');
  await bench.start();
  await bench.flowToTheEnd('ham/a.eml');
  expect(bench.superseded).toEqual(['spam/a.eml']);
  expect(spool.dropped('spam')).toEqual([]);
});

describe('a class folder', () => {
  test('that may not be entered is said with owner, group and mode, and waited for', async () => {
    chmodSync(spool.dropPath('spam'), 0o000);
    await bench.start();
    await bench.pass(10_000);
    const line = bench.recorder.only('spool.missing');
    expect(line.fields).toMatchObject({ path: `${spool.lib}/spam`, code: 'EACCES' });
    const owner = `uid ${process.getuid?.()}, gid ${process.getgid?.()}, mode 0`;
    expect(line.fields['cure']).toContain(owner);
    chmodSync(spool.dropPath('spam'), 0o775);
    spool.drop('spam', 'a.eml');
    await bench.flowUntilQueued('spam/a.eml');
  });

  test('that may not be written is a fault, said once, and nobody’s loss', async () => {
    await bench.start();
    spool.drop('spam', 'a.eml');
    spool.drop('spam', 'b.eml');
    chmodSync(spool.dropPath('spam'), 0o555);
    await bench.pass(30_000);
    const line = bench.recorder.only('disk.fault');
    expect(line.fields).toMatchObject({ place: `${spool.lib}/spam`, code: 'EACCES' });
    expect(line.message).toMatch(
      /permission denied.*; kopano-learnd doctor says which command helps/,
    );
    expect(spool.dropped('spam')).toEqual(['a.eml', 'b.eml']);
    chmodSync(spool.dropPath('spam'), 0o775);
    await bench.flowUntilQueued('spam/a.eml', 'spam/b.eml');
    expect(bench.recorder.fieldOf('disk.ok', 'place')).toEqual([`${spool.lib}/spam`]);
  });

  test('that cannot be listed is named, and does not keep the other one', async () => {
    await bench.start();
    spool.drop('ham', 'hidden.eml');
    chmodSync(spool.dropPath('ham'), 0o311);
    for (let i = 0; i < 20; i += 1) spool.drop('spam', `${i}.eml`);
    await bench.flowUntil('the other one is empty', () => bench.queued.length === 20);
    expect(bench.clock.monotonic()).toBeLessThan(10_000);
    expect(bench.recorder.fieldOf('disk.fault', 'place')).toEqual([`${spool.lib}/ham`]);
    chmodSync(spool.dropPath('ham'), 0o775);
    await bench.flowUntilQueued('ham/hidden.eml');
    expect(bench.recorder.fieldOf('disk.ok', 'place')).toEqual([`${spool.lib}/ham`]);
  });
});

describe('the state dir', () => {
  test('in a folder that may not be written is refused with the line that cures it', () => {
    const { lib } = new TestSpool();
    mkdirSync(`${lib}/closed`, { mode: 0o555 });
    expect(() => new TestSpool({ stateDir: `${lib}/closed/state` })).toThrow(
      expect.objectContaining({
        code: 'state-dir.unwritable',
        exitCode: 78,
        message: expect.stringContaining(`${lib}/closed/state`) as string,
        command: `install -d -o ${plainName('uid', process.getuid?.() ?? 0)} -g ${plainName('gid', process.getgid?.() ?? 0)} -m 0700 ${lib}/closed/state`,
      }),
    );
  });

  test('that may not be opened is refused with the line that cures it', () => {
    const { lib } = new TestSpool();
    mkdirSync(`${lib}/state`, { mode: 0o000 });
    expect(() => new TestSpool({ stateDir: `${lib}/state` })).toThrow(
      expect.objectContaining({
        code: 'state-dir.foreign',
        command: expect.stringContaining(`chmod 0700 ${lib}/state`) as string,
      }),
    );
    chmodSync(`${lib}/state`, 0o700); // Node.js 24 can't remove it otherwise
  });
});

describe('what may not be touched', () => {
  test(
    'a file that cannot be moved is stuck, said once, and keeps no other',
    needsChown(),
    async () => {
      await bench.start();
      // somebody else's, in somebody else's folder with the sticky bit
      const foreign = spool.drop('spam', 'a.eml', 'body', 0o666);
      chmodSync(spool.dropPath('spam'), 0o1777);
      const places = [foreign, spool.dropPath('spam')];
      const { uid, gid } = statSync(foreign);
      for (const path of places) chownSync(path, NOBODY, NOBODY);
      for (let i = 0; i < 5; i += 1) {
        spool.drop('spam', `${i}.eml`);
        await bench.flowUntilQueued(`spam/${i}.eml`);
      }
      await bench.flowUntilLogged('spool.stuck');
      await bench.pass(30_000);
      expect(bench.recorder.fieldOf('spool.stuck', 'file')).toEqual(['a.eml']);
      expect(bench.recorder.of('disk.fault')).toEqual([]);
      expect(spool.dropped('spam')).toEqual(['a.eml']);
      for (const path of places) chownSync(path, uid, gid); // so that it can be removed
    },
  );
});
