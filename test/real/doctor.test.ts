import { TIME } from '../support/needs.ts';
import { symlink } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import type { PrivateRedis } from '../../src/servers/private-redis.ts';
import { freePort, freePorts } from '../../src/servers/ports.ts';
import type { PrivateRspamd } from '../../src/servers/private-rspamd.ts';
import { examine } from '../support/examine.ts';
import type { Examination, Line } from '../support/examine.ts';
import { describeReal, startRedis, startRspamd } from './harness.ts';
import { World } from './world.ts';
import { until } from '../support/until.ts';

const [LOOKING, LEARNING] = ['only-for-looking', 'also-for-learning'];

describeReal('the doctor of a real rspamd', () => {
  let redis: PrivateRedis;
  let rspamd: PrivateRspamd;

  beforeAll(async () => {
    redis = await startRedis();
    rspamd = await startRspamd({
      redisPort: redis.port,
      password: LOOKING,
      enablePassword: LEARNING,
      secureIp: [],
      unixSocket: true,
    });
  });

  afterAll(async () => {
    await rspamd[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  const see = (settings: Record<string, string>) => seeAt(rspamd.url, settings);

  it('finds that a password is wanted, and which', async () => {
    expect(faultOf(await see({}), rspamd.url)).toMatch(
      /wants a password, and none is set .*RSPAMD_PASSWORD/,
    );
    const wrong = await see({ RSPAMD_PASSWORD: 'sesame-sesame' });
    expect(faultOf(wrong, rspamd.url)).toMatch(/refuses the password .*Cure: .*enable_password/);
    expect(JSON.stringify(wrong.lines) + wrong.err).not.toContain('sesame');
  });

  it('finds that enable_password is needed for learning', async () => {
    const seen = await see({ RSPAMD_PASSWORD: LOOKING });
    expect(faultOf(seen, rspamd.url)).toMatch(
      /for looking, but not for learning.*Cure: .*enable_password/,
    );
  });

  it('is content with the right password, and over the socket with none, and teaches nothing', async () => {
    const before = await redis.command('DBSIZE');
    for (const settings of [
      { RSPAMD_PASSWORD: LEARNING },
      { RSPAMD_URL: `unix:${rspamd.socketPath}` },
    ]) {
      const seen = await see(settings);
      const name = settings.RSPAMD_URL ?? rspamd.url;
      expect(seen.of(name).filter(({ state }) => state === 'failed')).toEqual([]);
      const texts = seen.of(name).map(({ text }) => text);
      expect(texts.join()).toMatch(/lets this .* learn/);
    }
    expect(await redis.command('DBSIZE')).toBe(before);
    expect(await redis.bayesCounts()).toEqual({ spam: 0, ham: 0 });
  });

  it('finds Bayes short of min_learns', async () => {
    const seen = await see({ RSPAMD_PASSWORD: LEARNING });
    const [line] = seen.of(rspamd.url).filter(({ state }) => state === 'warning');
    expect(line?.text).toMatch(
      /knows 0 spam and 0 ham.*200 of each class \(min_learns\).*Cure: .*kopano-learnd relearn/,
    );
  });

  it('finds the scan worker’s port', async () => {
    const url = `http://127.0.0.1:${rspamd.scannerPort}`;
    const seen = await see({ RSPAMD_URL: url });
    expect(faultOf(seen, url)).toMatch(/500 invalid command.*Cure: .*scan worker.*11334/);
  });

  it('finds a URL that leads beside the controller', async () => {
    const url = `${rspamd.url}/nix`;
    expect(faultOf(await see({ RSPAMD_URL: url }), url)).toMatch(/Cure: .*path prefix/);
  });
});

describeReal('the doctor of a real rspamd in trouble', () => {
  it('finds that there is no Bayes backend', async () => {
    await using rspamd = await startRspamd({ redisPort: null });
    // Not in its first moments, when it shows none in any case.
    await until('it is told', async () => {
      const [line] = (await seeAt(rspamd.url))
        .of(rspamd.url)
        .filter(({ state }) => state === 'failed');
      return /no Bayes backend.*Cure: .*redis\.conf/.test(line?.text ?? '');
    });
  });

  it('finds that Redis hangs or went away, whatever /stat goes on showing, and that it is down', async () => {
    await using redis = await startRedis();
    await using rspamd = await startRspamd({ redisPort: redis.port, redisHistory: true });
    const faults = async (): Promise<string[]> => {
      const seen = await seeAt(rspamd.url);
      const failed = seen.of(rspamd.url).filter(({ state }) => state === 'failed');
      return failed.map(({ text }) => text);
    };
    // rspamd shows no figures in its first moments.
    await until('it is content', async () => (await faults()).length === 0);
    redis.freeze();
    // The kernel stops it in its own time.
    await until('it sees that', async () => (await faults()).length > 0);
    expect(await faults()).toEqual([
      expect.stringMatching(/Redis does not .*\(timeout.*Cure: start/),
    ]);
    redis.resume();
    expect(await faults()).toEqual([]);
    await redis.stop();
    expect(await faults()).toEqual([
      expect.stringMatching(/Redis does not .*\(Connection refused\)\. Cure: start Redis, or/),
    ]);
    await rspamd.restart();
    // rspamd 3.12 shows no backend then, and its history tells; 3.4 needs some seconds to notice.
    await until('it is noticed', async () => {
      return /its Redis (is down|does not answer).*Cure: start Redis/.test((await faults()).join());
    });
  });

  it('finds a controller with a count above 1', async () => {
    await using redis = await startRedis();
    await using rspamd = await startRspamd({ redisPort: redis.port, controllerWorkers: 2 });
    const seen = await seeAt(rspamd.url);
    expect(seen.of('count')).toMatchObject([
      {
        state: 'warning',
        text: expect.stringMatching(/2 processes.*Cure: set count = 1/) as string,
      },
    ]);
  });

  // One test, because both take rspamd's time: what /stat says is up to a minute old.
  it(
    'finds controllers that do not share one Redis, and a memory for each recipient',
    TIME,
    async () => {
      await using redis = await startRedis();
      await using other = await startRedis();
      await using one = await startRspamd({ redisPort: redis.port });
      await using two = await startRspamd({ redisPort: other.port, perUser: true });
      for (let i = 0; i < 15; i += 1) {
        await one.post('/learnspam', makeMessage('spam', i).raw, { 'Learn-Type': 'bulk' });
      }
      const text = makeMessage('spam', 1).raw.toString('latin1');
      for (const to of ['anna@example.org', 'bert@example.org']) {
        const message = Buffer.from(text.replace(/^To: .*$/m, `To: ${to}`), 'latin1');
        // A memory of its own: the second one didn't know the message.
        expect(await two.post('/learnspam', message)).toMatchObject({ status: 200 });
        expect(await other.command('HGET', `RS${to}`, 'learns_spam')).toBe('1');
      }
      await until('both are noticed', async () => {
        const seen = await seeAt(`${one.url},${two.url}`);
        const [line] = seen.of('one memory');
        const isSplit = line?.state === 'failed' && /don't share one Redis.*Cure:/.test(line.text);
        const warnings = seen.of(two.url).filter(({ state }) => state === 'warning');
        return (
          isSplit &&
          warnings.some((each) =>
            /\(per_user\), 2 so far.*Cure: .*set per_user = false/.test(each.text),
          )
        );
      });
    },
  );

  it('finds that Redis is full, as the daemon learned', async () => {
    await using world = await World.make();
    const settings = { STATUS_LISTEN: `127.0.0.1:${await freePort()}` };
    const daemon = world.start(settings);
    await world.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    for (let i = 0; i < 3; i += 1) await world.judge(makeMessage('spam', i));
    // 3.4 says 200 and stores nothing, later ones say 500 OOM.
    const found = (): boolean =>
      daemon.linesOf('controller.unproven').length + daemon.linesOf('controller.down').length > 0;
    await daemon.until('find it', found);
    const seen = await examine(world.environment(settings));
    expect(faultOf(seen, 'proof')).toMatch(
      /(remembers nothing of it|says the running daemon: .*OOM).*Cure: .*Redis/,
    );
    expect(world.waiting).toHaveLength(3);
  });

  it('tells an owner, by whatever path, from a stand-by and from one that hangs, and disturbs none', async () => {
    await using world = await World.make({ elsewhere: true });
    const [at = '', atStandby = ''] = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
    const owner = await world.spawn({ STATUS_LISTEN: at });
    await owner.says('daemon.owner');
    const standby = world.start({ STATUS_LISTEN: atStandby });
    await standby.says('daemon.standby');
    const link = `${world.folder}/link`;
    await symlink(world.lib, link);
    const see = async (settings: Record<string, string> = {}): Promise<Line | undefined> => {
      const places = { KOPANO_SPAMD_LIB: link, LEARN_STATE_DIR: world.stateDir };
      return (await examine({ ...places, ...settings })).of('owner')[0];
    };
    // As if called without the daemon's environment.
    const elsewhere = { LEARN_STATE_DIR: '' };
    expect(await see(elsewhere)).toMatchObject({ state: 'warning' });
    expect((await see(elsewhere))?.text).toMatch(
      /another LEARN_STATE_DIR owns the spool: .*spam is locked\. Cure: .*fuser -v \S+\/spam$/,
    );
    expect(await see({ STATUS_LISTEN: at })).toMatchObject({ state: 'ok' });
    // STATUS_LISTEN is off
    expect(await see()).toMatchObject({ state: 'ok' });
    // The owner is found by its socket, wherever STATUS_LISTEN leads.
    expect(await see({ STATUS_LISTEN: '127.0.0.1:9' })).toMatchObject({ state: 'ok' });
    expect(await see({ STATUS_LISTEN: atStandby })).toMatchObject({ state: 'ok' });
    await world.judge(makeMessage('spam', 1));
    await world.untilDone();
    expect(owner.linesOf('daemon.standby')).toEqual([]);
    expect(world.names('tmp')).toEqual([]);
    owner.signal('SIGSTOP');
    const hangs = await see({ STATUS_LISTEN: at });
    owner.signal('SIGCONT');
    expect(hangs).toMatchObject({ state: 'failed' });
    expect(hangs?.text).toMatch(/does not answer: .*no answer within 5 s.*Cure: restart it/);
    await standby.stop();
    await owner.stop();
    expect(await see()).toMatchObject({ state: 'ok' });
    expect(await see(elsewhere)).toMatchObject({ state: 'not tried' });
  });
});

/** Where there is no spool. */
function seeAt(url: string, settings: Record<string, string> = {}): Promise<Examination> {
  return examine({ KOPANO_SPAMD_LIB: '/nowhere', RSPAMD_URL: url, ...settings });
}

function faultOf(seen: Examination, check: string): string {
  const faults = seen.of(check).filter(({ state }) => state === 'failed');
  expect(faults).toHaveLength(1);
  expect(seen.code).toBe(1);
  return faults[0]?.text ?? '';
}
