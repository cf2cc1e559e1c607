import { expect, it } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { findProgram } from '../../src/servers/programs.ts';
import { needs } from '../support/needs.ts';
import { World } from './world.ts';

const valkey = findProgram('valkey-server', process.env['PATH']);

it(
  'a message is learned into Valkey, proven and turned as into Redis',
  needs('valkey-server', valkey !== undefined),
  async () => {
    await using world = await World.make({ store: valkey ?? '', persistence: 'always' });
    expect(await world.redis.command('INFO', 'server')).toContain('server_name:valkey');
    world.start();
    const turned = makeMessage('spam', 0);
    for (let seed = 0; seed < 20; seed += 1) await world.judge(makeMessage('spam', seed));
    await world.untilDone();
    expect(await world.redis.bayesCounts()).toEqual({ spam: 20, ham: 0 });
    await world.redis.kill();
    await world.redis.start();
    await world.judge(turned, 'ham');
    await world.untilDone();
    expect(await world.redis.bayesCounts()).toEqual({ spam: 19, ham: 1 });
    expect(await world.forgotten()).toEqual([]);
  },
);
