import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

/** The rooms and the arrows between them (`rooms.json`), held against what the sources import. */
interface Rooms {
  /** The files at the root of `src/` that every room may import. */
  readonly base: readonly string[];
  /** Each room, from the top down, and the other rooms that it imports from. */
  readonly rooms: Readonly<Record<string, readonly string[]>>;
}

const { base: BASE, rooms: ARROWS } = JSON.parse(
  readFileSync(new URL('rooms.json', import.meta.url), 'utf8'),
) as Rooms;
const ROOMS = Object.keys(ARROWS);

/** Packages with one importer each. */
const SOLE_IMPORTERS: Readonly<Record<string, string>> = {
  'env-var': 'settings.ts',
  leven: 'settings.ts',
  pino: 'logger.ts',
  chokidar: 'spool/watcher.ts',
  got: 'trainers/connection.ts',
  'p-queue': 'delivery/scheduler.ts',
  commander: 'commands.ts',
  'prom-client': 'status/metrics.ts',
  '@observablehq/plot': 'evaluate/page/plots.ts',
  slimdom: 'evaluate/page/plots.ts',
};

interface Import {
  /** Path below `src/`. */
  readonly from: string;
  /** Path below `src/`, or the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
  readonly isType: boolean;
  /** By `import()`, when it is needed. */
  readonly isLazy: boolean;
}

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);
const imports = files.flatMap(importsOf);
const local = imports.filter(({ isPackage }) => !isPackage);

function importsOf(from: string): Import[] {
  const path = join(SOURCE, from);
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, isType: boolean, isLazy = false): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return;
    const isPackage = !specifier.text.startsWith('.');
    const to = isPackage ? specifier.text : relative(SOURCE, join(dirname(path), specifier.text));
    found.push({ from, to, isPackage, isType, isLazy });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node));
    if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true);
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false, true);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeOnly({ importClause }: ts.ImportDeclaration): boolean {
  return importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

/** The room that a file is in; a room may lie in another one. */
function roomOf(file: string): string {
  const inner = ROOMS.find((room) => room.includes('/') && file.startsWith(`${room}/`));
  if (inner !== undefined) return inner;
  const [first = '', ...inside] = file.split('/');
  const name = inside.length > 0 ? first : first.replace(/\.ts$/, '');
  return inside.length === 0 && BASE.includes(name) ? 'base' : name;
}

function told({ from, to }: Import): string {
  return `${from} imports ${to}`;
}

describe('the rooms', () => {
  test('hold every source file', () => {
    expect(files.length).toBeGreaterThan(20);
    expect(local.length).toBeGreaterThan(50);
    expect(files.filter((file) => !ROOMS.includes(roomOf(file)))).toEqual([]);
  });

  test('import from those alone that rooms.json names, and need them', () => {
    const needed = new Map(ROOMS.map((room) => [room, new Set<string>()]));
    for (const { from, to } of local) {
      if (roomOf(from) !== roomOf(to)) needed.get(roomOf(from))?.add(roomOf(to));
    }
    const sorted = Object.entries(ARROWS).map(([room, to]) => [room, [...to].sort()]);
    expect([...needed].map(([room, to]) => [room, [...to].sort()])).toEqual(sorted);
  });

  test('stand in an order: each imports from rooms above it', () => {
    const upwards = Object.entries(ARROWS).flatMap(([room, targets]) =>
      targets.filter((to) => ROOMS.indexOf(to) >= ROOMS.indexOf(room)),
    );
    expect(upwards).toEqual([]);
  });

  test('import only files that are there', () => {
    const missing = local.filter(({ to }) => !files.includes(to));
    expect(missing.map(told)).toEqual([]);
  });

  test('commands are the roots: none imports another room of commands through the command line', () => {
    const below = local.filter(({ to }) => to === 'main.ts' || to === 'cli.ts');
    expect(below.map(told)).toEqual(['main.ts imports cli.ts']);
  });

  test('health, which is run every few seconds, loads little: of packages those that read settings', () => {
    const loaded = new Set(['main.ts', 'status/health.ts']);
    // What is added to a set while it is gone through is gone through, too.
    for (const file of loaded) {
      for (const { from, to, isType, isLazy } of imports) {
        if (from === file && !isType && !isLazy) loaded.add(to);
      }
    }
    expect([...loaded].filter((file) => !file.startsWith('node:')).sort()).toEqual([
      'bugs.ts',
      'config.ts',
      'env-var',
      'errors.ts',
      'filter.ts',
      'fuzzy-flags.ts',
      'leven',
      'mail.ts',
      'main.ts',
      'secret.ts',
      'settings-file.ts',
      'settings.ts',
      'spamd-address.ts',
      'status/client.ts',
      'status/health.ts',
      'text.ts',
      'user.ts',
      'verdict.ts',
    ]);
  });

  test('have no circles, of types neither', () => {
    const targets = new Map(
      files.map((file) => [file, local.filter(({ from }) => from === file).map(({ to }) => to)]),
    );
    const circles: string[] = [];
    const done = new Set<string>();
    const follow = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
        return;
      }
      if (done.has(file)) return;
      for (const next of targets.get(file) ?? []) follow(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) follow(file, []);
    expect(circles).toEqual([]);
  });
});

describe('packages', () => {
  test.each(Object.entries(SOLE_IMPORTERS))('%s is imported by %s alone', (name, importer) => {
    const importers = imports
      .filter(({ to }) => to === name || to.startsWith(`${name}/`))
      .map(({ from }) => from);
    expect([...new Set(importers)]).toEqual([importer]);
  });

  test('that are imported are dependencies', () => {
    const { dependencies } = JSON.parse(readFileSync(join(SOURCE, '../package.json'), 'utf8')) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const unknown = imports.filter(
      ({ to, isPackage }) => isPackage && !to.startsWith('node:') && !(to in dependencies),
    );
    expect(unknown.map(told)).toEqual([]);
  });
});
