import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

/** The documents: links lead somewhere, README stays short, and each block of commands has a mark. */

const PROJECT = path.join(import.meta.dirname, '..');
const DOCUMENTS = ['.', 'docs', 'findings'].flatMap((folder) =>
  readdirSync(path.join(PROJECT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join(folder, name)),
);
/** Where comments and texts may name a page. */
const SOURCES = ['src', 'service', 'scripts', 'test', 'bench', '.ci'];

function read(file: string): string {
  return readFileSync(path.join(PROJECT, file), 'utf8');
}

function withoutBlocks(markdown: string): string {
  return markdown.replace(/^ *```.*?^ *```$/gms, '');
}

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(file: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of withoutBlocks(read(file)).matchAll(/^#+ (.+)$/gm)) {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = text.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
    let unique = anchor;
    for (let number = 1; anchors.has(unique); number += 1) unique = `${anchor}-${number}`;
    anchors.add(unique);
  }
  return anchors;
}

/** What is wrong with a link, if anything is. */
function faultOf(target: string, from: string): string[] {
  const [file = '', anchor] = target.split('#', 2);
  const to = file === '' ? from : path.join(path.dirname(from), file);
  if (!existsSync(path.join(PROJECT, to))) return [`${from}: ${target}: no such file`];
  if (anchor === undefined || anchorsOf(to).has(anchor)) return [];
  return [`${from}: ${target}: no such heading`];
}

describe('the documents', () => {
  test.each(DOCUMENTS)('%s: every link leads to a file and a heading', (document) => {
    const links = withoutBlocks(read(document)).matchAll(/\]\(([^)\s]+)\)/g);
    const targets = [...links].map(([, target = '']) => target);
    const relative = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(relative.flatMap((target) => faultOf(target, document))).toEqual([]);
  });

  test('README has at most 250 lines and 16 KB', () => {
    expect(read('README.md').split('\n').length - 1).toBeLessThanOrEqual(250);
    expect(statSync(path.join(PROJECT, 'README.md')).size).toBeLessThanOrEqual(16 * 1024);
  });

  test('README has no cell of a table over 60 characters, links aside', () => {
    const rows = read('README.md').matchAll(/^\|(.+)\|$/gm);
    const cells = [...rows].flatMap(([, row = '']) => row.replace(/\]\([^)]*\)/g, ']').split('|'));
    expect(cells.length).toBeGreaterThan(50);
    expect(cells.map((cell) => cell.trim()).filter((cell) => cell.length > 60)).toEqual([]);
  });

  test('README leads to every page in docs/', () => {
    const pages = DOCUMENTS.filter((name) => name.startsWith('docs/'));
    const readme = read('README.md');
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.filter((page) => !readme.includes(`](${page}`))).toEqual([]);
  });

  test('every block of commands is marked, each by a name of its own', () => {
    const script = '. test/service/blocks.sh && block_names .';
    const output = execFileSync('bash', ['-c', script], { cwd: PROJECT, encoding: 'utf8' });
    const names = output.trimEnd().split('\n');
    expect(names).toContain('try-demo');
    expect(names.filter((name) => name.includes(' '))).toEqual([]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  test('what the sources say of a page is there', () => {
    const faults = SOURCES.flatMap((folder) =>
      readdirSync(path.join(PROJECT, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(PROJECT, path.join(entry.parentPath, entry.name)))
        .flatMap((file) =>
          [...read(file).matchAll(/\bdocs\/[a-z-]+\.md(?:#[\w-]+)?/g)].flatMap(([page]) =>
            faultOf(page, 'README.md').map((fault) => `${file} says ${fault}`),
          ),
        ),
    );
    expect(faults).toEqual([]);
  });
});
