/**
 * How long the runs on real servers are: `short` in `npm test`, `middle` in `.ci/run`, `long` by
 * hand. `TEST_LENGTH` chooses.
 */
export type Length = 'short' | 'middle' | 'long';

export function byLength<T>(values: Readonly<Record<Length, T>>): T {
  const length = process.env['TEST_LENGTH'];
  return values[length === 'middle' || length === 'long' ? length : 'short'];
}
