import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { OperatorError } from '../../../src/errors.ts';
import { sortedSources } from '../../../src/relearn/sources/source-arguments.ts';
import type { SourceArguments } from '../../../src/relearn/sources/source-arguments.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { VERDICTS } from '../../../src/verdict.ts';

let folder: string;
let box: string;

beforeEach(() => {
  folder = temporaryFolder();
  box = `${folder}/Maildir`;
  folders('Maildir/cur', 'Maildir/new', 'Maildir/.Junk', 'Maildir/.Lists', 'Maildir/Inbox/new');
  writeFileSync(`${box}/cur/a`, '');
});

function folders(...names: readonly string[]): void {
  for (const name of names) mkdirSync(`${folder}/${name}`, { recursive: true });
}

function refusal(
  named: Partial<SourceArguments>,
  verdicts: readonly string[] = VERDICTS,
): OperatorError | undefined {
  try {
    sortedSources({ dirs: [], spam: [], ham: [], class: [], ...named }, verdicts, 'relearn');
    return undefined;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    expect(error.exitCode).toBe(64);
    return error;
  }
}

test.each([
  ['no-source', {}],
  ['stdin-class', { dirs: ['-'] }],
  ['stdin-twice', { spam: ['-'], ham: ['-'] }],
])('a usage error: %s', (code, named) => expect(refusal(named)?.code).toBe(`usage.${code}`));

describe('sources that overlap are refused:', () => {
  const complaintOf = (spam: readonly string[], ham: readonly string[]): string => {
    const error = refusal({ spam, ham });
    if (error !== undefined) expect(error.code).toBe('usage.overlap');
    return error?.message ?? '';
  };

  test('a folder in another one, whatever their verdicts', () => {
    const [junk, lists] = [`${box}/.Junk`, `${box}/.Lists`];
    expect(complaintOf([lists], [box])).toBe(`${lists} (spam) lies in ${box} (ham)`);
    expect(complaintOf([junk, box], [])).toBe(`${junk} (spam) lies in ${box} (spam)`);
    folders('A/spam/x');
    expect(refusal({ dirs: [`${folder}/A`], ham: [`${folder}/A/spam/x`] })?.message).toBe(
      `${folder}/A/spam/x (ham) lies in ${folder}/A/spam (spam)`,
    );
  });

  test('a file of a folder, and one path twice, also by a symlink', () => {
    writeFileSync(`${box}/spam.eml`, '');
    symlinkSync(box, `${box}.link`);
    for (const file of [`${box}/cur/a`, `${box}/spam.eml`]) {
      expect(complaintOf([file], [box])).toContain('lies in');
    }
    expect(complaintOf([box], [box])).toBe(`${box} is named as spam and as ham`);
    expect(complaintOf([box, `${box}/`], [])).toBe(`${box} is named as spam and as spam`);
    expect(complaintOf([`${box}.link`], [box])).toContain('is named as');
  });

  test('but not what the other one passes over, nor folders beside each other', () => {
    writeFileSync(`${box}/Trash.mbox`, '');
    expect(complaintOf([`${box}/.Junk`], [box])).toBe('');
    expect(complaintOf([], [box, `${box}/.Junk`, `${box}/Trash.mbox`])).toBe('');
    // Folders below an inbox are read.
    expect(complaintOf([box], [`${box}/Inbox`])).toContain('lies in');
    expect(complaintOf([`${box}/.Junk`, '-'], [`${box}/cur`, `${box}/cur2`])).toBe('');
  });
});

describe('without a flag', () => {
  const none = { spam: [], ham: [], class: [] };

  test('a Maildir is ham, and its junk folders are spam', () => {
    folders('Maildir/.INBOX.Spam', 'Maildir/.Trash.Junk');
    writeFileSync(`${box}/.Junk.old`, '');
    const { dirs, paths } = sortedSources({ dirs: [box], ...none }, VERDICTS, 'relearn');
    expect([dirs, paths.ham]).toEqual([[], [box]]);
    expect([...paths.spam].sort()).toEqual([`${box}/.INBOX.Spam`, `${box}/.Junk`]);
    expect(refusal({ dirs: [box], spam: [`${box}/.Junk`] })?.code).toBe('usage.overlap');
  });

  test('a Maildir without one, a file, or any other folder is refused with what to type', () => {
    folders('M/cur', 'M/new', 'A/spam', 'B/ham', 'B/cur', 'B/new', 'B/.Junk', 'C/cur');
    const maildir = refusal({ dirs: [`${folder}/M`] });
    expect(maildir).toMatchObject({ code: 'usage.unsorted' });
    expect(maildir?.message).toContain(`${folder}/M is a Maildir without a junk folder`);
    expect(maildir?.hint).toContain(`--ham ${folder}/M `);
    const file = `${folder}/junk mail.mbox`;
    writeFileSync(file, '');
    expect(refusal({ dirs: [file] })?.hint).toContain(`--spam '${file}' or as --ham`);
    for (const name of ['C']) {
      const error = refusal({ dirs: [`${folder}/${name}`] });
      expect(error?.message).toContain(`${folder}/${name} holds neither spam/ nor ham/`);
    }
    expect(refusal({ dirs: [`${folder}/D`] })?.message).toBe(`there is no ${folder}/D`);
    for (const name of ['A', 'B']) {
      const dirs = [`${folder}/${name}`];
      const paths = { spam: [], ham: [] };
      expect(sortedSources({ dirs, ...none }, VERDICTS, 'relearn')).toEqual({ dirs, paths });
    }
  });
});
