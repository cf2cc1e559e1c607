/** Syslog's severities by number (RFC 5424), the most severe first. */
export const SEVERITIES = [
  'emerg',
  'alert',
  'crit',
  'err',
  'warning',
  'notice',
  'info',
  'debug',
] as const;

export type Severity = (typeof SEVERITIES)[number];
