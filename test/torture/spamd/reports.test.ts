import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PrivateSpamd, PrivateSpamdOptions } from '../../lab/private-spamd.ts';
import { findProgram } from '../../../src/servers/programs.ts';
import { makeMessage } from '../../lab/messages.ts';
import type { MadeMessage } from '../../lab/messages.ts';
import { World } from '../../real/world.ts';
import { until } from '../../support/until.ts';
import { examine } from '../../support/examine.ts';
import type { Line } from '../../support/examine.ts';
import { ROOT, needsPrograms } from '../../support/needs.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

/**
 * Reports by the real razor and pyzor, of a spamd without any network: what becomes of the reports, and
 * that the learning doesn't mind.
 */
const NEEDS = { ...needsPrograms('spamd', 'razor-admin', 'pyzor'), ...ROOT };
const NETWORKS = {
  reporters: ['Razor2', 'Pyzor', 'SpamCop'],
  config: ['use_razor2 1', 'use_pyzor 1'],
};

/** A spamd in a network of its own, which leads nowhere, with a process for reports beside that for learning. */
function startAlone(options: PrivateSpamdOptions): Promise<PrivateSpamd> {
  const program = join(temporaryFolder(), 'spamd');
  const spamd = findProgram('spamd', process.env['PATH']) ?? '';
  writeFileSync(program, `#!/bin/sh\nexec unshare --net ${spamd} "$@"\n`);
  chmodSync(program, 0o755);
  return startSpamd({ program, unixSocket: true, children: 2, ...options });
}

function settingsFor(spamd: PrivateSpamd): Record<string, string> {
  return {
    LEARN_TRAINERS: 'spamassassin',
    SPAMD_URL: `unix:${spamd.socketPath}`,
    SPAMD_REPORT: 'yes',
  };
}

/** A spam of today: SpamCop takes no other. */
function freshSpam(seed: number): MadeMessage {
  const made = makeMessage('spam', seed);
  const text = made.raw
    .toString('latin1')
    .replace(/^Date: .*$/m, `Date: ${new Date().toUTCString()}`);
  return { ...made, raw: Buffer.from(text, 'latin1') };
}

/** What a report needs to get as far as Razor's servers. */
function register(spamd: PrivateSpamd): string {
  const folder = join(spamd.folder, 'home/.razor');
  mkdirSync(folder);
  writeFileSync(join(folder, 'identity'), 'user=nobody@example.org\npass=secret\n');
  execFileSync('chown', ['-R', 'nobody', folder]);
  return folder;
}

describe('reports without a network', NEEDS, () => {
  let spamd: PrivateSpamd;
  let world: World;

  beforeEach(async () => {
    spamd = await startAlone(NETWORKS);
    world = await World.make();
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
    await spamd[Symbol.asyncDispose]();
  });

  const reported = (): (readonly unknown[])[] =>
    world.daemon.lines
      .filter(({ event }) => event === 'message.reported')
      .map(({ fields: { kind, taken, reason } }) => [kind, taken, reason]);

  const counts = async (): Promise<string> => {
    const { spam, ham } = await spamd.counts();
    return `${spam} spam, ${ham} ham`;
  };

  test.each(['without an identity', 'with one'])(
    'go nowhere, %s for Razor; what is to be learned is, and nothing is held against a message',
    async (identity) => {
      if (identity === 'with one') register(spamd);
      world.start(settingsFor(spamd));
      const spams = [1, 2, 3].map(freshSpam);
      for (const message of [...spams, makeMessage('ham', 1)]) await world.judge(message);
      await world.untilDone();
      expect(await counts()).toBe('3 spam, 1 ham');
      // Each takes five seconds and more, for which no message waits.
      expect(reported().length).toBeLessThan(3);
      await until('all are told', () => reported().length === 3);
      // pyzor failed, and SpamAssassin takes that for a report.
      expect(reported()).toEqual([1, 2, 3].map(() => ['spam', true, undefined]));
      expect(spamd.log).toMatch(/pyzor: .* reporter error: exit 1\n.*spam reported to Pyzor/);
      expect(spamd.log).toMatch('could not report spam to SpamCop');
      expect(spamd.log).toMatch('could not report spam to Razor');
      const why = /requires authentication/;
      if (identity === 'with one') expect(spamd.log).not.toMatch(why);
      else expect(spamd.log).toMatch(why);
      await world.judge(spams[0] ?? freshSpam(1), 'ham');
      await world.untilDone();
      await until('it is taken back', () => reported().length === 4);
      expect(reported().at(-1)).toEqual(['revoke', false, 'no network took it']);
      expect(await counts()).toBe('2 spam, 2 ham');
      const events = new Set(world.daemon.lines.map(({ event }) => event));
      for (const fault of ['message.deferred', 'message.quarantined', 'controller.down']) {
        expect(events).not.toContain(fault);
      }
    },
  );

  test('a stop does not wait for them', async () => {
    const daemon = world.start(settingsFor(spamd));
    await world.judge(freshSpam(1));
    await world.untilDone();
    await daemon.stop();
    expect(await counts()).toBe('1 spam, 0 ham');
    expect(spamd.log).not.toMatch('could not report spam to SpamCop');
  });
});

describe('the doctor, where reports are wanted', NEEDS, () => {
  /** What it says of them. */
  async function see(settings: Record<string, string>): Promise<readonly Line[]> {
    return (await examine({ KOPANO_SPAMD_LIB: '/nowhere', ...settings })).of('reports');
  }

  beforeAll(() => expect(existsSync('/usr/bin/razor-admin')).toBe(true));

  test('names the identity that Razor lacks, where spamd has it look, and how one is registered', async () => {
    await using spamd = await startAlone(NETWORKS);
    const folder = join(spamd.folder, 'home/.razor');
    const [line] = await see(settingsFor(spamd));
    expect(line?.state).toBe('warning');
    const admin = `runuser -u nobody -- razor-admin -home=${folder}`;
    expect(line?.text).toContain(`has no identity in ${folder}. `);
    expect(line?.text).toContain(`Cure: ${admin} -create && ${admin} -register (`);
    expect(line?.text).toContain('RAZOR_REGISTRATION');
    expect(await see({ ...settingsFor(spamd), SPAMD_REPORT: 'no' })).toEqual([]);
    const withoutRazor = await see({ ...settingsFor(spamd), PATH: '/nowhere' });
    expect(withoutRazor).toMatchObject([{ state: 'not tried', text: /razor is not installed/ }]);
    register(spamd);
    expect(await see(settingsFor(spamd))).toMatchObject([
      { state: 'ok', text: expect.stringContaining(`${folder}/identity`) as string },
    ]);
    // A link that leads nowhere is what razor-admin leaves when its file is taken away.
    rmSync(join(folder, 'identity'));
    execFileSync('ln', ['-s', 'identity-gone', join(folder, 'identity')]);
    expect(await see(settingsFor(spamd))).toMatchObject([{ state: 'warning' }]);
  });

  test('warns of a spamd that reports nothing, and says what it cannot know', async () => {
    await using spamd = await startAlone({});
    const [line] = await see(settingsFor(spamd));
    expect(line?.state).toBe('warning');
    expect(line?.text).toMatch(/runs with --local, .*Cure: start spamd without --local/);
    const elsewhere = await see({ ...settingsFor(spamd), SPAMD_URL: 'spamd://nowhere.invalid' });
    expect(elsewhere).toMatchObject([{ state: 'not tried', text: /spamd is elsewhere/ }]);
    const stranger = { SPAMD_URL: 'unix:/nowhere/spamd.sock', SPAMD_USER: 'no-such-user' };
    expect(await see({ ...settingsFor(spamd), ...stranger })).toMatchObject([
      { state: 'not tried', text: /names no user of this machine/ },
    ]);
  });
});
