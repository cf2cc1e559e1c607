import { mkdirSync, writeFileSync } from 'node:fs';
import { beforeEach, expect, test } from 'vitest';
import { OperatorError } from '../../src/errors.ts';
import { refuseUnsorted } from '../../src/relearn/unsorted.ts';
import { temporaryFolder } from '../support/temporary.ts';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

function folders(...names: readonly string[]): void {
  for (const name of names) mkdirSync(`${folder}/${name}`, { recursive: true });
}

function refused(dir: string): OperatorError | undefined {
  try {
    refuseUnsorted([dir]);
    return undefined;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return error;
  }
}

test('a Maildir without a flag is refused with what to type', () => {
  folders('M/cur', 'M/new', 'M/.Archive');
  const error = refused(`${folder}/M`);
  expect(error).toMatchObject({ code: 'usage.unsorted', exitCode: 64 });
  expect(error?.message).toContain(`${folder}/M is a Maildir`);
  expect(error?.hint).toContain(`--ham ${folder}/M `);
  expect(error?.hint).toContain(`--spam ${folder}/M/.Junk`);
});

test('its junk folders are named as they are called', () => {
  folders('M/cur', 'M/new', 'M/.INBOX.Spam', 'M/.Junk E-Mail', 'M/.Trash');
  const { hint } = refused(`${folder}/M/`) ?? {};
  expect(hint).toContain(`--spam ${folder}/M/.INBOX.Spam;`);
  expect(hint).toContain(`Its junk folders: ${folder}/M/.INBOX.Spam '${folder}/M/.Junk E-Mail'`);
});

test('a file without a flag is refused, too', () => {
  writeFileSync(`${folder}/junk.mbox`, '');
  expect(refused(`${folder}/junk.mbox`)?.hint).toContain(`--spam ${folder}/junk.mbox or as --ham`);
});

test('what holds spam/ or ham/, is missing or something else is left to the reading', () => {
  folders('A/spam', 'B/ham', 'B/cur', 'B/new', 'C/cur', 'D');
  for (const name of ['A', 'B', 'C', 'D', 'E'])
    expect(refused(`${folder}/${name}`)).toBeUndefined();
});
