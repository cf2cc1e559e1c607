import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { QuarantinedMessages } from '../spool/quarantined.ts';
import type { Moved, Quarantined } from '../spool/quarantined.ts';
import { clean, plural } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';

/**
 * `kopano-learnd quarantine`: the messages that rspamd can't take, each with its reason. It works
 * beside a running daemon and without one, and holds no more than one message's names at a time.
 */
export interface QuarantineOptions {
  readonly stateDir: string;
  readonly stop: AbortSignal;
  /** Data. */
  readonly out: (text: string) => void;
  /** Data that may be no text. */
  readonly outBytes: (bytes: Uint8Array) => Promise<void>;
  /** A terminal must not be painted by a mail. */
  readonly isTerminal: boolean;
  /** Prose. */
  readonly err: (text: string) => void;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}

/** Which messages are meant: names as the user gave them. */
export type Selection = 'all' | readonly string[];

/** Output is handed over in pieces of about so many characters. */
const PIECE = 16_384;
const LONGEST_REASON = 400;
const UNREADABLE = 'the reason is not readable';

/** Prints a line for each message, or a JSON array. */
export async function listQuarantine(options: QuarantineOptions, json: boolean): Promise<ExitCode> {
  using opened = openQuarantine(options);
  const { messages } = opened;
  let count = 0;
  let text = json ? '[' : '';
  for await (const message of patiently(messages?.list() ?? [])) {
    if (options.stop.aborted || messages === undefined) return EXIT.failure;
    if (json) text += `${count === 0 ? '' : ','}\n${asJson(messages, message)}`;
    else text += asLine(messages, message);
    count += 1;
    if (text.length > PIECE) {
      options.out(text);
      text = '';
    }
  }
  options.out(json ? `${text}${count === 0 ? '' : '\n'}]\n` : text);
  if (!json && messages !== undefined) {
    options.err(`${plural(count, 'message')} in quarantine\n`);
  }
  return EXIT.done;
}

/** Prints the reason as prose and the message as data. */
export async function showQuarantined(options: QuarantineOptions, name: string): Promise<ExitCode> {
  using opened = openQuarantine(options);
  const { messages } = opened;
  const message = meant(messages, name);
  if (messages === undefined || message === undefined) throw unknown([name], messages);
  const { reason = UNREADABLE, attempts, messageId, quarantinedAt } = messages.reason(message);
  const lines = [
    `${displayName(message)}: ${clean(reason, LONGEST_REASON)}`,
    ...(quarantinedAt === undefined ? [] : [`quarantined at ${clean(quarantinedAt)}`]),
    ...(attempts === undefined ? [] : [`failures charged to it: ${attempts}`]),
    ...(messageId === undefined ? [] : [`Message-ID: ${clean(messageId)}`]),
  ];
  options.err(`${lines.join('\n')}\n\n`);
  const forTerminal = terminalText();
  for await (const piece of messages.body(message)) {
    if (options.stop.aborted) return EXIT.failure;
    await options.outBytes(options.isTerminal ? forTerminal(piece) : piece);
  }
  return EXIT.done;
}

/** Asks the daemon to try messages again. */
export async function releaseQuarantined(
  options: QuarantineOptions,
  selection: Selection,
): Promise<ExitCode> {
  const released = await each(options, selection, 'released', (messages, message) =>
    messages.release(message),
  );
  if (released > 0) {
    options.err('The daemon tries them again within a few seconds, or at its next start.\n');
  }
  return options.stop.aborted ? EXIT.failure : EXIT.done;
}

/** Removes messages for good. */
export async function dropQuarantined(
  options: QuarantineOptions,
  selection: Selection,
): Promise<ExitCode> {
  await each(options, selection, 'dropped', (messages, message) => messages.drop(message));
  return options.stop.aborted ? EXIT.failure : EXIT.done;
}

/**
 * Acts on each message that is meant, and says on how many.
 * @throws {OperatorError} `quarantine.unknown` when some are not there, after the others are done
 */
async function each(
  options: QuarantineOptions,
  selection: Selection,
  verb: 'released' | 'dropped',
  act: (messages: QuarantinedMessages, message: Quarantined) => Moved,
): Promise<number> {
  using opened = openQuarantine(options);
  const { messages } = opened;
  const counts = { done: 0, gone: 0 };
  const unknownNames: string[] = [];
  const now = options.wall();
  if (messages !== undefined && selection === 'all') {
    for await (const message of patiently(messages.list())) {
      if (options.stop.aborted) break;
      counts[act(messages, message)] += 1;
    }
    messages.removeOrphans(now);
  } else if (selection !== 'all') {
    // Before anything is done: what was meant has to be said first.
    const chosen = [...new Set(selection)].map((name) => ({
      name,
      message: meant(messages, name),
    }));
    for await (const { name, message } of patiently(chosen)) {
      if (messages !== undefined && message !== undefined) counts[act(messages, message)] += 1;
      else if (messages !== undefined && isOver(messages, name, verb, now)) counts.gone += 1;
      else unknownNames.push(name);
    }
  }
  const { done, gone } = counts;
  const note = gone === 0 ? '' : `, ${gone} gone already (taken back, superseded or done before)`;
  if (unknownNames.length > 0) {
    if (done + gone > 0) options.err(`${done} done${note}\n`);
    throw unknown(unknownNames, messages);
  }
  options.err(`${plural(done, 'message')} ${verb}${note}\n`);
  return done;
}

/** Whether an earlier call has done it to a message that isn't in quarantine any more. */
function isOver(
  messages: QuarantinedMessages,
  name: string,
  verb: 'released' | 'dropped',
  now: number,
): boolean {
  return candidatesOf(name).some(
    (each) =>
      messages.removeOrphan(each, now) || (verb === 'released' && messages.isReleased(each)),
  );
}

// --- names

function displayName({ verdict, key }: Quarantined): string {
  return `${verdict}/${key}`;
}

/** What a name may mean: `spam/NAME`, or NAME of either verdict. */
function candidatesOf(name: string): Quarantined[] {
  const verdict = VERDICTS.find((each) => name.startsWith(`${each}/`));
  if (verdict !== undefined) return [{ verdict, key: name.slice(verdict.length + 1) }];
  return VERDICTS.map((each) => ({ verdict: each, key: name }));
}

/** @throws {OperatorError} when both verdicts have a message of that name */
function meant(messages: QuarantinedMessages | undefined, name: string): Quarantined | undefined {
  const [message, other] = candidatesOf(name).filter((each) => messages?.has(each));
  if (other === undefined) return message;
  throw new OperatorError({
    code: 'quarantine.ambiguous',
    message: `'${clean(name)}' lies in quarantine as spam and as ham`,
    hint: `say which: spam/${clean(name)} or ham/${clean(name)}`,
    exitCode: EXIT.failure,
  });
}

function unknown(
  names: readonly string[],
  messages: QuarantinedMessages | undefined,
): OperatorError {
  const shown = names.slice(0, 3).map((name) => `'${clean(name)}'`);
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  const wasReleased = candidatesOf(names[0] ?? '').some((each) => messages?.isReleased(each));
  return new OperatorError({
    code: 'quarantine.unknown',
    message: `${shown.join(', ')}${more} ${names.length === 1 ? 'is' : 'are'} not in quarantine`,
    hint: wasReleased
      ? 'it was released, and waits for the daemon to take it'
      : 'kopano-learnd quarantine list shows what is there',
    exitCode: EXIT.failure,
  });
}

// --- output

function asLine(messages: QuarantinedMessages, message: Quarantined): string {
  const { reason = UNREADABLE, quarantinedAt = '-' } = messages.reason(message);
  const fields = [displayName(message), quarantinedAt, reason];
  return `${fields.map((field) => clean(field, LONGEST_REASON)).join('\t')}\n`;
}

/** One JSON object; beyond ASCII escaped, so that no terminal is painted by it. */
function asJson(messages: QuarantinedMessages, message: Quarantined): string {
  const { reason, attempts, messageId, quarantinedAt } = messages.reason(message);
  const { verdict, key: name } = message;
  return JSON.stringify({ verdict, name, reason, attempts, messageId, quarantinedAt }).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Makes pieces of a mail fit for a terminal: lines and tabs stay, what paints or reorders goes. */
function terminalText(): (piece: Buffer) => Uint8Array {
  const decoder = new TextDecoder();
  return (piece) => {
    const text = decoder.decode(piece, { stream: true }).replaceAll('\r\n', '\n');
    const parts = text.split(/([\n\t])/);
    return Buffer.from(
      parts.map((part, index) => (index % 2 === 1 ? part : clean(part, Infinity))).join(''),
    );
  };
}

function openQuarantine({ stateDir, err }: QuarantineOptions): Disposable & {
  readonly messages: QuarantinedMessages | undefined;
} {
  const messages = QuarantinedMessages.open(stateDir);
  if (messages === undefined) {
    err(`there is no state dir ${stateDir}, so nothing was ever quarantined\n`);
  }
  return {
    messages,
    [Symbol.dispose]: () => {
      messages?.close();
    },
  };
}

/** The same, with a chance for signals in between. */
async function* patiently<T>(values: Iterable<T>): AsyncGenerator<T, void, undefined> {
  for (const value of values) {
    yield value;
    await yieldIfDue();
  }
}
