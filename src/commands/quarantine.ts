import { setImmediate as nextTurn } from 'node:timers/promises';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { VERDICTS } from '../verdict.ts';
import { QuarantinedMessages } from '../spool/quarantined.ts';
import type { Moved, Quarantined } from '../spool/quarantined.ts';
import { clean, nearest, plural } from '../text.ts';

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

/** Which messages are meant. */
export type Selection =
  { readonly kind: 'all' } | { readonly kind: 'names'; readonly names: readonly string[] };

const STRETCH_MS = 10;
/** Output is handed over in pieces of about so many characters. */
const PIECE = 16_384;
const LONGEST_REASON = 400;

/** Prints a line for each message, or a JSON array. */
export async function listQuarantine(options: QuarantineOptions, json: boolean): Promise<ExitCode> {
  using opened = openQuarantine(options);
  const { messages } = opened;
  let count = 0;
  let text = json ? '[' : '';
  const breathe = breather();
  for (const message of messages?.list() ?? []) {
    if (options.stop.aborted) return EXIT.failure;
    if (messages === undefined) break;
    text += json ? `${count === 0 ? '' : ','}\n` : '';
    text += json ? asJson(messages, message) : asLine(messages, message);
    count += 1;
    if (text.length > PIECE) {
      options.out(text);
      text = '';
    }
    await breathe();
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
  const [message, other] = meant(messages, name);
  if (messages === undefined || message === undefined) throw unknown([name], messages);
  if (other !== undefined) throw ambiguous(name);
  const { reason, attempts, messageId, quarantinedAt } = messages.reason(message);
  const lines = [
    `${nameOf(message)}: ${clean(reason ?? 'the reason is not readable', LONGEST_REASON)}`,
    quarantinedAt === undefined ? undefined : `quarantined at ${clean(quarantinedAt)}`,
    attempts === undefined ? undefined : `failures charged to it: ${attempts}`,
    messageId === undefined ? undefined : `Message-ID: ${clean(messageId)}`,
  ];
  options.err(`${lines.filter((line) => line !== undefined).join('\n')}\n\n`);
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
  const moved = await each(options, selection, {
    act: (messages, message) => messages.release(message),
    wasDone: (messages, message) => messages.isReleased(message),
  });
  options.err(`${plural(moved.done, 'message')} released${moved.note}\n`);
  if (moved.done > 0) {
    options.err('The daemon tries them again within a few seconds, or at its next start.\n');
  }
  return moved.exitCode;
}

/** Removes messages for good. */
export async function dropQuarantined(
  options: QuarantineOptions,
  selection: Selection,
): Promise<ExitCode> {
  const moved = await each(options, selection, {
    act: (messages, message) => messages.drop(message),
    wasDone: () => false,
  });
  options.err(`${plural(moved.done, 'message')} dropped${moved.note}\n`);
  return moved.exitCode;
}

interface MovedAll {
  readonly done: number;
  /** What is to be said beside the number. */
  readonly note: string;
  readonly exitCode: ExitCode;
}

interface Step {
  readonly act: (messages: QuarantinedMessages, message: Quarantined) => Moved;
  /** Whether an earlier call has done it to a message that isn't in quarantine any more. */
  readonly wasDone: (messages: QuarantinedMessages, message: Quarantined) => boolean;
}

async function each(
  options: QuarantineOptions,
  selection: Selection,
  { act, wasDone }: Step,
): Promise<MovedAll> {
  using opened = openQuarantine(options);
  const { messages } = opened;
  const unknownNames: string[] = [];
  let done = 0;
  let gone = 0;
  const breathe = breather();
  const takeOne = (message: Quarantined): void => {
    if (messages === undefined) return;
    if (act(messages, message) === 'done') done += 1;
    else gone += 1;
  };
  if (selection.kind === 'all') {
    for (const message of messages?.list() ?? []) {
      if (options.stop.aborted) break;
      takeOne(message);
      await breathe();
    }
    messages?.removeOrphans(options.wall());
  } else {
    const chosen = [...new Set(selection.names)].map((name) => ({
      name,
      found: meant(messages, name),
    }));
    // Before anything is done: what was meant has to be said first.
    for (const { name, found } of chosen) if (found.length > 1) throw ambiguous(name);
    for (const { name, found } of chosen) {
      const [message] = found;
      if (message !== undefined) takeOne(message);
      else if (
        messages !== undefined &&
        candidatesOf(name).some(
          (each) => messages.removeOrphan(each, options.wall()) || wasDone(messages, each),
        )
      ) {
        gone += 1;
      } else unknownNames.push(name);
      await breathe();
    }
  }
  const note = gone === 0 ? '' : `, ${gone} gone already (taken back, superseded or done before)`;
  if (unknownNames.length > 0) {
    if (done + gone > 0) options.err(`${done} done${note}\n`);
    throw unknown(unknownNames, messages);
  }
  return { done, note, exitCode: options.stop.aborted ? EXIT.failure : EXIT.done };
}

// --- names

function nameOf({ verdict, key }: Quarantined): string {
  return `${verdict}/${key}`;
}

/** What a name may mean: `spam/NAME`, or NAME of either verdict. */
function candidatesOf(name: string): Quarantined[] {
  const verdict = VERDICTS.find((each) => name.startsWith(`${each}/`));
  if (verdict !== undefined) return [{ verdict, key: name.slice(verdict.length + 1) }];
  return VERDICTS.map((each) => ({ verdict: each, key: name }));
}

function meant(messages: QuarantinedMessages | undefined, name: string): Quarantined[] {
  return candidatesOf(name).filter((message) => messages?.has(message));
}

function ambiguous(name: string): OperatorError {
  return new OperatorError({
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
  const [first = ''] = names;
  const shown = names.slice(0, 3).map((name) => `'${clean(name)}'`);
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  const wasReleased = candidatesOf(first).some((message) => messages?.isReleased(message));
  const near = messages === undefined ? undefined : nearestName(first, messages);
  const list = 'kopano-learnd quarantine list shows what is there';
  return new OperatorError({
    code: 'quarantine.unknown',
    message: `${shown.join(', ')}${more} ${names.length === 1 ? 'is' : 'are'} not in quarantine`,
    hint: wasReleased
      ? 'it was released, and waits for the daemon to take it'
      : near === undefined
        ? list
        : `did you mean '${near}'? ${list}`,
    exitCode: EXIT.failure,
  });
}

function nearestName(name: string, messages: QuarantinedMessages): string | undefined {
  const isWhole = VERDICTS.some((verdict) => name.startsWith(`${verdict}/`));
  function* names(): Generator<string> {
    for (const message of messages.list()) yield isWhole ? nameOf(message) : message.key;
  }
  return nearest(name, names());
}

// --- output

function asLine(messages: QuarantinedMessages, message: Quarantined): string {
  const { reason, quarantinedAt } = messages.reason(message);
  const fields = [nameOf(message), quarantinedAt ?? '-', reason ?? 'the reason is not readable'];
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
    const lines = decoder.decode(piece, { stream: true }).replaceAll('\r\n', '\n').split('\n');
    const tabs = lines.map((line) =>
      line
        .split('\t')
        .map((text) => clean(text, Infinity))
        .join('\t'),
    );
    return Buffer.from(tabs.join('\n'));
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

/** Gives signals a chance in a long loop of synchronous calls. */
function breather(): () => Promise<void> {
  let stretch = performance.now();
  return async () => {
    if (performance.now() - stretch < STRETCH_MS) return;
    await nextTurn();
    stretch = performance.now();
  };
}
