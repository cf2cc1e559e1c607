import { OperatorError } from '../errors.ts';
import { QuarantinedMessages } from '../spool/quarantined.ts';

/** What the page shows of the quarantine: of each message why it is there, and nothing of itself. */
export interface QuarantineView {
  /** The first of them, as they lie. */
  readonly messages: readonly {
    readonly name: string;
    readonly reason: string;
    readonly since: string | undefined;
  }[];
  /** There are others. */
  readonly isMore: boolean;
  /** Why they can't be read. */
  readonly fault: string | undefined;
}

/** @param most how many are read; there may be any number */
export function viewQuarantine(stateDir: string, most: number): QuarantineView {
  try {
    using quarantine = QuarantinedMessages.open(stateDir);
    const messages: QuarantineView['messages'][number][] = [];
    for (const message of quarantine?.list() ?? []) {
      if (messages.length === most) return { messages, isMore: true, fault: undefined };
      const { reason = 'the reason is not readable', quarantinedAt: since } =
        quarantine?.reason(message) ?? {};
      messages.push({ name: `${message.verdict}/${message.key}`, reason, since });
    }
    return { messages, isMore: false, fault: undefined };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { messages: [], isMore: false, fault: error.message };
  }
}
