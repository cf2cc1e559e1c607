/**
 * The controllers benchmark: how much faster two and four controllers learn than one, each a stub that
 * takes 20 ms for a post, one post after the other, and costs nothing.
 *
 *   npm run bench:controllers -- [--messages N]
 */
import { parseArgs } from 'node:util';
import { until, withChildren } from './children.ts';
import { makeMessageFiles } from './message-files.ts';
import { MACHINE, printRows, row } from './table.ts';

/** Times the rate of one, at least. */
const TARGETS: ReadonlyMap<number, number> = new Map([
  [2, 1.9],
  [4, 3.6],
]);
const WAIT_MS = '20';

const { values } = parseArgs({ options: { messages: { type: 'string', default: '1000' } } });
const messages = Number(values.messages);
const rates = new Map<number, number>();
for (const controllers of [1, ...TARGETS.keys()]) rates.set(controllers, await rateOf(controllers));
const single = rates.get(1) ?? NaN;
printRows(MACHINE, [
  row('one controller', single, '/s'),
  ...[...TARGETS].map(([controllers, atLeast]) => {
    const ratio = (rates.get(controllers) ?? NaN) / single;
    return row(`${controllers} controllers, times the rate of one`, ratio, 'x', { atLeast });
  }),
]);

/** Messages a second, from the first that is learned to the last. */
function rateOf(controllers: number): Promise<number> {
  return withChildren(async (children, folder) => {
    makeMessageFiles(folder, messages);
    const ports: string[] = [];
    for (let i = 0; i < controllers; i += 1) {
      const [port] = await children.helper('stub-controller', WAIT_MS);
      ports.push(port);
    }
    const { process, firstAt, counts } = await children.daemon({ lib: folder, port: ports.join() });
    const learned = (): number => counts.get('message.learned') ?? 0;
    const endedAt = await until('all messages', process, () => learned() >= messages);
    return ((messages - 1) * 1_000) / (endedAt - (firstAt.get('message.learned') ?? NaN));
  });
}
