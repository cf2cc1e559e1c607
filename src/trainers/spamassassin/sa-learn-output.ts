/**
 * What `sa-learn -D bayes,learn` says of each message (tried on 4.0.1): a line when it begins with one
 * and, of what it learns, knows or doesn't know, another one. The order is that of its list.
 */

/** What is done with messages. */
export type Action = 'spam' | 'ham' | 'forget';

/** Whether Bayes was changed: it learned, or forgot; or it knew, or didn't know. */
export type Effect = 'changed' | 'unchanged';

/** What a run of `sa-learn` said. */
export interface Account {
  /** One for each message that it began with; `undefined` where it said nothing of it. */
  readonly effects: readonly (Effect | undefined)[];
  /** The messages that it says it examined, and changed Bayes by. */
  readonly examined: number;
  readonly changed: number;
  /** Its last line that is no debugging. */
  readonly complaint: string;
}

/** Only what `sa-learn` itself logs begins so: it makes control characters of a mail harmless. */
const DEBUG = /^[^[\]]{0,40}\[\d+\] dbg: (.*)$/;
const BEGINS = /^learn: (?:learning (?:spam|ham)|forgetting message)$/;
const LEARNED = /^bayes: learned '/;
const KNOWN =
  /^bayes: (?:\S+ already learnt correctly|forget: no msgid from this message has been learnt)/;
const SUM = /^\w+ tokens from (\d+) message\(s\) \((\d+) message\(s\) examined\)$/m;
/** A longer line is a mail's, as the tokens of its headers. */
const LONGEST_LINE = 4_096;
const COMPLAINT_LENGTH = 320;

/** Reads standard error as it comes, and keeps little of it. */
export class AccountReader {
  readonly #forgets: boolean;
  readonly #effects: (Effect | undefined)[] = [];
  #line = '';
  #complaint = '';

  constructor(forgets: boolean) {
    this.#forgets = forgets;
  }

  /** The messages that it has come to. */
  get begun(): number {
    return this.#effects.length;
  }

  /** Takes the next piece of standard error. */
  push(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = (lines.pop() ?? '').slice(0, LONGEST_LINE);
    for (const line of lines) this.#read(line);
  }

  /**
   * At the end.
   * @param output standard output
   */
  account(output: string): Account {
    this.#read(this.#line);
    this.#line = '';
    const [, changed = '0', examined = '0'] = SUM.exec(output) ?? [];
    return {
      effects: this.#effects,
      examined: Number(examined),
      changed: Number(changed),
      complaint: this.#complaint,
    };
  }

  #read(line: string): void {
    const said = DEBUG.exec(line)?.[1];
    if (said === undefined) {
      if (line.trim() !== '') this.#complaint = line.trim().slice(0, COMPLAINT_LENGTH);
    } else if (BEGINS.test(said)) {
      // Of what it forgets it says nothing more.
      this.#effects.push(this.#forgets ? 'changed' : undefined);
    } else if (this.#effects.length > 0) {
      const last = this.#effects.length - 1;
      if (LEARNED.test(said)) this.#effects[last] = 'changed';
      else if (KNOWN.test(said)) this.#effects[last] = 'unchanged';
    }
  }
}

/** What became of each of so many messages; `undefined` where what it said doesn't fit together. */
export function effectsOf(account: Account, given: number): readonly Effect[] | undefined {
  const effects = account.effects.filter((effect) => effect !== undefined);
  const changed = effects.filter((effect) => effect === 'changed').length;
  const fits =
    account.examined === given &&
    account.effects.length === given &&
    effects.length === given &&
    changed === account.changed;
  return fits ? effects : undefined;
}
