/**
 * Message files by the hundred thousand: about 1 KB each, each with a Message-ID and a body of its
 * own, complete and bearing kopano-spamd's finishing mark (mode 0660). Made for speed, not for
 * Bayes: no filter learns anything sensible from them.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const FINISHING_MARK = 0o660;
const PARAGRAPH =
  'The figures for the last quarter are in the folder that everybody can read, and the draft of ' +
  'the contract lies beside them. Please look at both before the meeting on Thursday.\r\n';
const FILLER = PARAGRAPH.repeat(4);

/** Makes `parent/spam` and `parent/ham` and `count` files in them, half in each. */
export function makeMessageFiles(parent: string, count: number): void {
  const umask = process.umask(0);
  try {
    for (const verdict of ['spam', 'ham']) mkdirSync(join(parent, verdict), { recursive: true });
    for (let index = 0; index < count; index += 1) {
      const verdict = index % 2 === 0 ? 'spam' : 'ham';
      const file = openSync(join(parent, verdict, nameOf(index)), 'w', FINISHING_MARK);
      writeSync(file, messageOf(index));
      closeSync(file);
    }
  } finally {
    process.umask(umask);
  }
}

/** Thirty-two hexadecimal digits that look like a search key: spread, and never the same twice. */
function nameOf(index: number): string {
  const spread = Math.imul(index, 0x9e3779b1) >>> 0;
  const digits = spread.toString(16).padStart(8, '0').toUpperCase();
  return `${digits.repeat(3)}${index.toString(16).padStart(8, '0').toUpperCase()}.eml`;
}

function messageOf(index: number): string {
  return (
    'From: Sophie Brandt <sophie.brandt@sender.example>\r\n' +
    'To: Kim Berger <kim.berger@office.example>\r\n' +
    `Subject: Figures, part ${index}\r\n` +
    'Date: Mon, 08 Jan 2024 08:00:00 +0000\r\n' +
    `Message-ID: <backlog-${index}@mail.example>\r\n` +
    `\r\nThis is part ${index} of a long correspondence.\r\n${FILLER}`
  );
}
