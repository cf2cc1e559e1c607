import type { Log, LogEvent, LogFields, Severity } from '../../src/logger.ts';

export interface LogLine {
  readonly severity: Severity;
  readonly event: LogEvent;
  readonly message: string;
  readonly fields: LogFields;
}

/** A log that keeps its lines. */
export class LogRecorder {
  readonly lines: LogLine[] = [];

  readonly log: Log = (severity, event, message, fields = {}) =>
    this.lines.push({ severity, event, message, fields });

  /** The lines of one event. */
  of(event: LogEvent): LogLine[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** The only line of one event. */
  only(event: LogEvent): LogLine {
    const [line, ...more] = this.of(event);
    if (line === undefined || more.length > 0) {
      throw new Error(`${more.length + (line === undefined ? 0 : 1)} lines of ${event}`);
    }
    return line;
  }

  /** What the lines of one event say in a field. */
  fieldOf(event: LogEvent, field: string): unknown[] {
    return this.of(event).map(({ fields }) => fields[field]);
  }
}
