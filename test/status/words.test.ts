import { expect, test } from 'vitest';
import { coldStart } from '../../src/status/words.ts';

test('a Bayes that has enough of both, or says nothing of one, is no cold start', () => {
  expect(coldStart({ spam: 200, ham: 200 })).toBeUndefined();
  expect(coldStart({ spam: 5, ham: 6 }, 5)).toBeUndefined();
  expect(coldStart({ spam: null, ham: 3 })).toBeUndefined();
});

test('without ham it says why that is slow, and names both ways', () => {
  const cold = coldStart({ spam: 450, ham: 12 });
  expect(cold?.says).toBe(
    'Bayes knows 450 spam and 12 ham: it gives no opinion before it has learned 200 of each class (min_learns); 188 ham are missing, and users hardly bring them: kopano-spamd hands over ham only where a message was spam first',
  );
  expect(cold?.cures.join('; ')).toMatch(/relearn --ham PATH; or .*autolearn = true;/);
  expect(cold?.cures.join('; ')).not.toContain('--spam');
});

test('the class that is short is the one to teach; a count may be negative', () => {
  const cold = coldStart({ spam: -71, ham: 200 }, 100);
  expect(cold?.says).toContain('171 spam are missing');
  expect(cold?.says).not.toContain('hardly');
  expect(cold?.cures).toHaveLength(2);
  expect(cold?.cures[0]).toContain('relearn --spam PATH');
  expect(coldStart({ spam: 300, ham: 300, news: 1 })?.cures[0]).toContain('--class news=PATH');
  expect(coldStart({ spam: 0, ham: 0 })?.says).toContain('200 spam and 200 ham are missing');
});
