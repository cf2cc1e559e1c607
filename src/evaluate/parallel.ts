/**
 * Does something with each of a list, so many at a time. When one fails no other begins, and those at
 * work are waited for.
 * @throws what the first failure threw
 */
export async function eachOf(
  list: Uint32Array,
  width: number,
  work: (each: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (next < list.length && failures.length === 0) {
      const each = list[next] ?? 0;
      next += 1;
      try {
        await work(each);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (failures.length > 0) throw failures[0];
}
