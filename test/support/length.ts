/**
 * How long a run is: `short` in `npm test`, `middle` in `.ci/run`, `long` by hand
 * (`npm run torture`). `TEST_LENGTH` chooses.
 */
type Length = 'short' | 'middle' | 'long';

export const LENGTH: Length = parse(process.env['TEST_LENGTH'] ?? 'short');

export function byLength<T>(values: Readonly<Record<Length, T>>): T {
  return values[LENGTH];
}

function parse(text: string): Length {
  if (text === 'short' || text === 'middle' || text === 'long') return text;
  throw new Error(`TEST_LENGTH is '${text}'; it can be short, middle or long`);
}
