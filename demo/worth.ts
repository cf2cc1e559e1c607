/** The demo's last act in five lines: what `kopano-learnd evaluate` found out about what was taught. */
import type { Evaluation } from '../src/evaluate/evaluation.ts';
import { inPercent } from '../src/evaluate/words.ts';
import { clean } from '../src/text.ts';

const SUBJECT_LENGTH = 40;

export function worthInWords(evaluation: Evaluation): readonly string[] {
  const { messages, timeOrder, crossValidation, disputed } = evaluation;
  const { folds, figures, areaAbove } = crossValidation;
  const [first] = disputed.messages;
  return [
    `${messages.read} messages, ${messages.spam} spam and ${messages.ham} ham, each judged before it was taught`,
    inTimeOrder(timeOrder.speaking),
    `by the other ${folds - 1} of ${folds} parts: spam caught ${inPercent(figures.spamCaught)}`,
    `  ham lost ${inPercent(figures.hamLost)}, 1-AUC ${inPercent(areaAbove, 3)}`,
    first === undefined
      ? 'disputed: none of the judgements'
      : `disputed: ${disputed.count}, first of all ${first.verdict}, "${clean(first.subject, SUBJECT_LENGTH)}"`,
  ];
}

function inTimeOrder(speaking: Evaluation['timeOrder']['speaking']): string {
  if (speaking === null) return 'in time order: Bayes said nothing';
  const { spam, ham } = speaking.said;
  return `in time order, since message ${speaking.first}: ${spam.spam} of ${spam.judged} spam caught, ${ham.spam} of ${ham.judged} ham lost`;
}
