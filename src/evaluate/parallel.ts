/**
 * Does something with each of a list, so many at a time. When one fails no other begins, and those at
 * work are waited for.
 * @throws what the first failure threw
 */
export async function eachOf<T>(
  list: readonly T[],
  width: number,
  work: (each: T) => Promise<void>,
): Promise<void> {
  const rest = list.values();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const each of rest) {
      if (failures.length > 0) return;
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
