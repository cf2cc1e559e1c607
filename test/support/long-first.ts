import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';

/** They keep a CPU busy for minutes, while most others wait for processes. */
const LONG = ['/torture/model/', '/torture/syscalls/'];

/** vitest's order, by size, but for the long ones: they come first, not alone in the end. */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean =>
      LONG.some((folder) => moduleId.includes(folder));
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
