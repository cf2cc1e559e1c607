/**
 * What a health check costs: `kopano-learnd health`, the bundle as images and services run it, asks a
 * running daemon; beside it, by turns, a Node.js that does nothing. Prints the figures beside their
 * target; a missed one is no failure, because the machine has a say in it.
 *
 *   npm run bench:health -- [--rounds N]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LOOPBACK, freePort } from '../src/servers/ports.ts';
import { timeOf, until, withChildren } from './children.ts';
import { BUNDLE, layOut } from './scratch.ts';
import { spreadOf } from './spread.ts';
import { MACHINE, beside, printRows, row } from './table.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '40' } } });

await withChildren(async (children, folder) => {
  const lib = layOut(join(folder, 'lib'));
  const [port] = await children.helper('stub-controller');
  const statusListen = `${LOOPBACK}:${await freePort()}`;
  const daemon = await children.daemon({ lib, port, statusListen });
  await until('the daemon', daemon.process, () => daemon.firstAt.has('daemon.owner'));

  const pairs = Array.from({ length: Number(values.rounds) }, () => ({
    node: timeOf(['-e', '0']),
    health: timeOf([BUNDLE, 'health'], { STATUS_LISTEN: statusListen }),
  }));
  const node = spreadOf(pairs.map((pair) => pair.node)).median;
  const health = spreadOf(pairs.map((pair) => pair.health)).median;
  const more = spreadOf(pairs.map((pair) => pair.health - pair.node)).median;
  printRows(`${pairs.length} pairs, medians; ${MACHINE}`, [
    row('health', health, 'ms', beside('node -e 0', node)),
    row('  more than its peer, pair by pair', more, 'ms', { atMost: 60 }),
  ]);
});
