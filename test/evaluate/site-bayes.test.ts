import { chmodSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { siteBayes } from '../../src/evaluate/site-bayes.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** What is seen of a site whose `rspamadm configdump --json classifier` prints this of its statfiles. */
function seen(statfile: unknown) {
  const folder = temporaryFolder();
  const dump = JSON.stringify({ bayes: { min_learns: 50, statfile } });
  const script = `#!/bin/sh\necho 'no nameservers defined'\ncat <<'END'\n${dump}\nEND\n`;
  writeFileSync(`${folder}/rspamadm`, script);
  chmodSync(`${folder}/rspamadm`, 0o755);
  return siteBayes(`${folder}:${process.env['PATH'] ?? ''}`, new AbortController().signal);
}

test.each([
  ['class', ['spam', 'ham'], true],
  ['spam', [true, false], false],
] as const)('that its statfiles have `%s`', async (key, [spam, ham], hasNamedClasses) => {
  const statfiles = [
    { symbol: 'BAYES_HAM', [key]: ham },
    { symbol: 'BAYES_SPAM', [key]: spam },
  ];
  expect(await seen(statfiles)).toEqual({
    ...{ from: 'site', hasNamedClasses },
    settings: { tokenizer: 'osb', min_tokens: 11, min_learns: 50 },
  });
});
