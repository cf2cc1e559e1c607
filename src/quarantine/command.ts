import { say } from '../command-options.ts';
import type { CommandOptions } from '../command-options.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { encodeName, isKey } from '../spool/message.ts';
import type { QuarantineReason } from '../spool/quarantine.ts';
import { QuarantinedMessages } from '../spool/quarantined.ts';
import type { Moved, Quarantined } from '../spool/quarantined.ts';
import { clean, plural, wrap } from '../text.ts';
import type { Terminal } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';

/**
 * `kopano-learnd quarantine`: the messages that a filter can't take, each with its reason. It works
 * beside a running daemon and without one, and holds no more than one message's names at a time.
 */
export interface QuarantineOptions extends Pick<
  CommandOptions,
  'stop' | 'out' | 'outBytes' | 'terminal' | 'err' | 'errTerminal'
> {
  readonly stateDir: string;
}

/** Which messages are meant: names as the user gave them. */
type Selection = 'all' | readonly string[];

const LONGEST_REASON = 400;
const UNREADABLE = 'the reason is not readable';

/** Prints a line for each message, or a JSON array. */
export async function listQuarantine(options: QuarantineOptions, json: boolean): Promise<ExitCode> {
  const { stop, terminal, out } = options;
  using messages = openQuarantine(options);
  let count = 0;
  for (const message of messages?.list() ?? []) {
    await yieldIfDue();
    if (stop.aborted) return EXIT.failure;
    const reason = messages?.reason(message) ?? {};
    const before = count === 0 ? '[\n' : ',\n';
    out(json ? before + asJson(message, reason) : asLine(message, reason, terminal));
    count += 1;
  }
  if (json) out(count === 0 ? '[]\n' : '\n]\n');
  else if (messages !== undefined) say(options, `${plural(count, 'message')} in quarantine`);
  return EXIT.done;
}

/** Prints the reason as prose and the message as data. */
export async function showQuarantined(options: QuarantineOptions, name: string): Promise<ExitCode> {
  using messages = openQuarantine(options);
  const message = meant(messages, name);
  if (messages === undefined || message === undefined) throw unknown([name], messages);
  const { verdict, key } = message;
  const { reason = UNREADABLE, attempts, messageId, quarantinedAt } = messages.reason(message);
  const lines = [
    `${verdict}/${key}: ${clean(reason, LONGEST_REASON)}`,
    ...(quarantinedAt === undefined ? [] : [`quarantined at ${clean(quarantinedAt)}`]),
    ...(attempts === undefined ? [] : [`failures charged to it: ${attempts}`]),
    ...(messageId === undefined ? [] : [`Message-ID: ${clean(messageId)}`]),
  ];
  for (const line of [...lines, '']) say(options, line);
  const forTerminal = terminalText();
  for await (const piece of messages.body(message)) {
    if (options.stop.aborted) return EXIT.failure;
    // A terminal must not be painted by a mail.
    await options.outBytes(options.terminal === undefined ? piece : forTerminal(piece));
  }
  return EXIT.done;
}

/** Asks the daemon to try messages again. */
export async function releaseQuarantined(
  options: QuarantineOptions,
  selection: Selection,
): Promise<ExitCode> {
  const done = await each(options, selection, 'released', (messages, one) => messages.release(one));
  if (done > 0) {
    say(options, 'The daemon tries them again within a few seconds, or at its next start.');
  }
  return options.stop.aborted ? EXIT.failure : EXIT.done;
}

/** Removes messages for good. */
export async function dropQuarantined(
  options: QuarantineOptions,
  selection: Selection,
): Promise<ExitCode> {
  await each(options, selection, 'dropped', (messages, one) => messages.drop(one));
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
  using messages = openQuarantine(options);
  const names = selection === 'all' ? [] : [...new Set(selection)];
  // Before anything is done: what was meant has to be clear first.
  const chosen = names.flatMap((name) => meant(messages, name) ?? []);
  const missing = names.filter((name) => meant(messages, name) === undefined);
  const counts = { done: 0, gone: 0 };
  for (const one of (selection === 'all' ? messages?.list() : chosen) ?? []) {
    await yieldIfDue();
    if (options.stop.aborted || messages === undefined) break;
    counts[act(messages, one)] += 1;
  }
  const { done, gone } = counts;
  const note = gone === 0 ? '' : `, ${gone} gone already (taken back or superseded)`;
  say(options, `${plural(done, 'message')} ${verb}${note}`);
  if (missing.length > 0) throw unknown(missing, messages);
  return done;
}

// --- names

/** What a name may mean: `spam/NAME`, or NAME of any verdict; as it is listed, or as the file had it. */
function candidatesOf(name: string, verdicts: readonly Verdict[] = VERDICTS): Quarantined[] {
  const said = verdicts.find((each) => name.startsWith(`${each}/`));
  const bare = said === undefined ? name : name.slice(said.length + 1);
  const key = isKey(bare) ? bare : encodeName(Buffer.from(bare).toString('latin1'));
  return (said === undefined ? verdicts : [said]).map((verdict) => ({ verdict, key }));
}

/** @throws {OperatorError} when several verdicts have a message of that name */
function meant(messages: QuarantinedMessages | undefined, name: string): Quarantined | undefined {
  const found = candidatesOf(name, messages?.verdicts).filter((each) => messages?.has(each));
  if (found.length < 2) return found[0];
  const named = found.map(({ verdict }) => verdict);
  throw new OperatorError({
    code: 'quarantine.ambiguous',
    message: `'${clean(name)}' lies in quarantine as ${named.join(' and as ')}`,
    hint: `say which: ${named.map((each) => `${each}/${clean(name)}`).join(' or ')}`,
    exitCode: EXIT.failure,
  });
}

function unknown(names: readonly string[], messages?: QuarantinedMessages): OperatorError {
  const isReleased = candidatesOf(names[0] ?? '', messages?.verdicts).some((one) =>
    messages?.isReleased(one),
  );
  return new OperatorError({
    code: 'quarantine.unknown',
    message: `not in quarantine: ${clean(names.map((name) => name || "''").join(', '))}`,
    hint: isReleased
      ? 'it was released, and waits for the daemon to take it'
      : 'the list shows what is there',
    command: isReleased ? undefined : 'kopano-learnd quarantine list',
    exitCode: EXIT.failure,
  });
}

// --- output

/** For people between words that fit their terminal; for scripts a line, with tabs between its fields. */
function asLine(
  { verdict, key }: Quarantined,
  { reason = UNREADABLE, quarantinedAt = '-' }: Partial<QuarantineReason>,
  terminal: Terminal | undefined,
): string {
  const fields = [`${verdict}/${key}`, quarantinedAt, reason];
  const cleaned = fields.map((field) => clean(field, LONGEST_REASON));
  return terminal === undefined
    ? `${cleaned.join('\t')}\n`
    : `${wrap(cleaned.join('  '), terminal.columns, '    ')}\n`;
}

/** One JSON object; beyond ASCII escaped, so that no terminal is painted by it. */
function asJson({ verdict, key: name }: Quarantined, found: Partial<QuarantineReason>): string {
  const { reason, attempts, messageId, quarantinedAt } = found;
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
    return Buffer.from(text.replace(/[^\n\t]+/g, (part) => clean(part, Infinity)));
  };
}

function openQuarantine(options: QuarantineOptions): QuarantinedMessages | undefined {
  const { stateDir } = options;
  const messages = QuarantinedMessages.open(stateDir);
  if (messages === undefined) {
    say(options, `there is no state dir ${stateDir}, so nothing was ever quarantined`);
  }
  return messages;
}

/**
 * What the words after `release` and `drop` name.
 * @throws {OperatorError} `usage.names`
 */
export function selectionOf(names: readonly string[], all: boolean): Selection {
  if (all && names.length === 0) return 'all';
  if (!all && names.length > 0) return names;
  throw new OperatorError({
    code: 'usage.names',
    message: all ? '--all and names exclude each other' : 'no message is named',
    hint: 'give NAMES as the list shows them, or --all',
    command: 'kopano-learnd quarantine list',
    exitCode: EXIT.usage,
  });
}
