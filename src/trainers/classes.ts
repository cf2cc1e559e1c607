import type { Verdict } from '../verdict.ts';
import { classifyAnswer, statusLine } from './answers.ts';
import type { Answer } from './answer-reader.ts';
import type { Outcome } from './trainer.ts';

/**
 * What is posted to rspamd for a class, and what only further classes are answered: those of
 * LEARN_CLASSES, beside spam and ham. rspamd 4.1.5 learns them; 3.4 and 3.12.1 have no path for that.
 */

/** Where a message of a class is posted, and the headers that say which class it is. */
export function learningPost(verdict: Verdict): {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
} {
  return isBase(verdict)
    ? { path: `learn${verdict}`, headers: {} }
    : { path: 'learnclass', headers: { class: verdict } };
}

/** What an answer to the learning post of a class means. The reason is passed on as it came. */
export function classifyLearning(answer: Answer, verdict: Verdict): Outcome {
  return (isBase(verdict) ? undefined : faultOfClass(answer, verdict)) ?? classifyAnswer(answer);
}

/** Why rspamd learns nothing of a class, by what it says to its post; spam and ham it learns. */
function faultOfClass(answer: Answer, verdict: Verdict): Outcome | undefined {
  const said = statusLine(answer);
  const isRspamds = String(answer.headers['server']).startsWith('rspamd/');
  const held = (reason: string, hint: string): Outcome => {
    return { kind: 'held', reason: `${reason} (${said})`, hint, isOfClass: true };
  };
  if (/^404 class .* is not defined/i.test(said)) {
    return held(
      `rspamd's classifier has no class ${verdict}`,
      `define ${verdict} in the classifier "bayes" in rspamd's local.d/classifier-bayes.conf (statfile with class), restart rspamd, or take it out of LEARN_CLASSES`,
    );
  }
  if (/^400 Class header is required/i.test(said)) {
    return held(
      `the header Class does not reach rspamd`,
      'let the proxy in front of rspamd pass the header Class',
    );
  }
  if (!isRspamds || !/^404 Not found/i.test(said)) return undefined;
  const version = /^rspamd\/(\S+)/.exec(String(answer.headers['server']))?.[1] ?? '';
  return held(
    `rspamd ${version} learns spam and ham, and no class ${verdict}`,
    `update rspamd to 4.1 or later, or take ${verdict} out of LEARN_CLASSES`,
  );
}

function isBase(verdict: Verdict): boolean {
  return verdict === 'spam' || verdict === 'ham';
}
