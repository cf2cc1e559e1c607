import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FaultServer } from '../faults/fault-server.ts';
import { plays } from '../faults/plays.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { learn, trainerAt } from './connect.ts';

test('a controller behind a Unix socket that may not be opened is misconfigured', async () => {
  const socketPath = `${temporaryFolder()}/forbidden.sock`;
  await using server = await FaultServer.start({ play: plays(), socketPath });
  chmodSync(socketPath, 0o000);
  expect(await learn(trainerAt(server.url))).toMatchObject({
    kind: 'misconfigured',
    password: false,
    hint: expect.stringContaining('write permission') as string,
  });
});
