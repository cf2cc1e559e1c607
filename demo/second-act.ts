/** The demo's second act: SpamAssassin is taught, in short, by its own counters. */
import { makeMessages } from '../test/lab/messages.ts';
import type { DemoStage } from './stage.ts';

const MESSAGES_OF_EACH_CLASS = 10;

/**
 * Has a private spamd taught some messages and one of them turned; tells both in a line each.
 * @throws when SpamAssassin's counters are not those of what was learned
 */
export async function secondAct(
  stage: DemoStage,
  spamd: string,
  say: (line: string) => void,
): Promise<void> {
  await stage.startSpamd(spamd);
  await stage.startDaemon();
  const spam = makeMessages('spam', MESSAGES_OF_EACH_CLASS, 0);
  const all = [...spam, ...makeMessages('ham', MESSAGES_OF_EACH_CLASS, 0)];
  const start = performance.now();
  for (const message of all) await stage.export(message);
  for (const message of all) await stage.untilSettled(message);
  for (const message of all) await stage.untilGone(message);
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  say(`  spamd has learned ${all.length} messages and knows each when asked again (${seconds} s)`);
  const before = await countsIn(stage);
  for (const message of spam.slice(0, 1)) {
    const turned = { ...message, verdict: 'ham' } as const;
    await stage.export(turned);
    await stage.untilSettled(turned);
    await stage.untilGone(turned);
  }
  const now = await countsIn(stage);
  say(`  Bayes had ${before}; since one went back to the Inbox, ${now}`);
  const [one, many] = [MESSAGES_OF_EACH_CLASS - 1, MESSAGES_OF_EACH_CLASS + 1];
  if (now !== `${one} spam, ${many} ham`) throw new Error('SpamAssassin has counted otherwise');
}

async function countsIn(stage: DemoStage): Promise<string> {
  const { spam, ham } = await stage.spamdCounts();
  return `${spam} spam, ${ham} ham`;
}
