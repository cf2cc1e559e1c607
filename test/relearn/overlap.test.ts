import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { OperatorError } from '../../src/errors.ts';
import { refuseOverlap } from '../../src/relearn/overlap.ts';
import { temporaryFolder } from '../support/temporary.ts';

let box: string;

beforeEach(() => {
  box = `${temporaryFolder()}/Maildir`;
  for (const name of ['cur', 'new', '.Junk', '.Lists', 'Inbox/new'])
    mkdirSync(`${box}/${name}`, { recursive: true });
  writeFileSync(`${box}/cur/a`, '');
});

function complaintOf(spam: readonly string[], ham: readonly string[]): string {
  try {
    refuseOverlap({ spam, ham });
    return '';
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    expect(error).toMatchObject({ code: 'usage.overlap', exitCode: 64 });
    return error.message;
  }
}

describe('sources that overlap are refused:', () => {
  test('a folder in another one, whatever their verdicts', () => {
    const [junk, lists] = [`${box}/.Junk`, `${box}/.Lists`];
    expect(complaintOf([lists], [box])).toBe(`${lists} (spam) lies in ${box} (ham)`);
    expect(complaintOf([junk, box], [])).toBe(`${junk} (spam) lies in ${box} (spam)`);
  });

  test('a file of a folder that is named, too', () => {
    expect(complaintOf([`${box}/cur/a`], [`${box}/cur`])).toContain('lies in');
    writeFileSync(`${box}/spam.eml`, '');
    expect(complaintOf([`${box}/spam.eml`], [box])).toContain('lies in');
  });

  test('one path twice, also by a symlink', () => {
    expect(complaintOf([box], [box])).toBe(`${box} is named as spam and as ham`);
    expect(complaintOf([box, box], [])).toBe(`${box} is named as spam and as spam`);
    symlinkSync(box, `${box}.link`);
    expect(complaintOf([`${box}.link`], [box])).toContain('is named as');
  });
});

test('a folder that the other one passes over is not: a Maildir and its junk folder', () => {
  writeFileSync(`${box}/Trash.mbox`, '');
  expect(complaintOf([`${box}/.Junk`], [box])).toBe('');
  expect(complaintOf([], [box, `${box}/.Junk`, `${box}/Trash.mbox`])).toBe('');
  // Folders below an inbox are read.
  expect(complaintOf([box], [`${box}/Inbox`])).toContain('lies in');
});

test('folders beside each other, what is missing, and standard input are not', () => {
  const [one, two] = [`${box}/cur`, `${box}/new`];
  expect(complaintOf([`${box}/.Junk`, '-'], [one, two, `${box}/cur2`])).toBe('');
});
