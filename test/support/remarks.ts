import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node';

/**
 * Says what the figures of a run don't: what was skipped, and why; and what passed only when it was
 * tried again. A test that is skipped without a reason is a failure, unless the run was asked for a part
 * of the tests.
 */
export default class Remarks implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, number>();
    const isPartial = this.#vitest?.config.testNamePattern !== undefined;
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const reason = reasonOf(test);
        if (reason === undefined && isPartial) continue;
        if (reason === undefined) process.exitCode = 1;
        const line = `${reason ?? 'FAILED: no reason is given'}: ${module.relativeModuleId}`;
        counts.set(line, (counts.get(line) ?? 0) + 1);
      }
      for (const test of module.children.allTests('passed')) {
        if (test.diagnostic()?.flaky !== true) continue;
        const [first = ''] = test.result().errors?.[0]?.message.split('\n') ?? [];
        this.#vitest?.logger.log(
          `passed when tried again: ${module.relativeModuleId}: ${test.name}: ${first}`,
        );
      }
    }
    for (const [line, count] of counts) this.#vitest?.logger.log(`skipped, ${line} (${count})`);
  }
}

function reasonOf(test: TestCase): string | undefined {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  for (let each: TestCase | TestSuite | TestModule = test; ; each = each.parent) {
    const { needs } = each.meta();
    if (needs !== undefined) return `needs ${needs}`;
    if (each.type === 'module' || note !== undefined) return note;
  }
}
