import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';

/** These take minutes, the longest of them first. */
const LONG = [
  ...['/torture/outages/', '/torture/kill/', '/real/outages', '/real/relearn', '/real/fuzzy.'],
  ...['/torture/syscalls/', '/torture/soak/', '/torture/controller/', '/torture/model/'],
];

/** vitest's order, by size, but for the long ones: they come first, not alone in the end. */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = LONG.findIndex((part) => moduleId.includes(part));
      return place === -1 ? LONG.length : place;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
