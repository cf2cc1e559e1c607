import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { SMALL_HEAP } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { Bundle, projectFile, run } from './bundle.ts';

let bundle: Bundle;

beforeAll(async () => {
  bundle = await Bundle.make();
});

afterAll(async () => {
  await bundle[Symbol.asyncDispose]();
});

test('the bundled program needs no other file, wherever it is called from', async () => {
  const { stdout } = await run(bundle.path('bin/kopano-learnd'), ['--version'], { cwd: '/' });
  expect(stdout.trim()).toBe(packageJson.version);
});

test.each([
  [[], true],
  [['--once'], true],
  [['watch', '--once'], true],
  [['evaluate', '/a'], true],
  [['relearn', '/a'], false],
  [['health'], false],
  [['quarantine', 'show', 'a b'], false],
])(
  'its first lines start Node.js, with a small heap for watch and evaluate: %j',
  async (args, isSmall) => {
    const folder = temporaryFolder();
    const node = join(folder, 'node');
    await writeFile(node, `#!/bin/sh\nprintf '%s\\n' "$@"\n`, { mode: 0o755 });
    const program = bundle.path('bin/kopano-learnd');
    const { stdout } = await run(program, args, { env: { PATH: folder, flags: '--inspect' } });
    const flags = isSmall ? SMALL_HEAP : [];
    const start = expect.stringMatching(/^if\(parseInt.*import\(/) as string;
    expect(stdout.split('\n')).toEqual([...flags, '-e', start, program, ...args, '']);
  },
);

test.each(['v12.22.12', 'v18.20.8'])(
  'on Node.js %s it says which one it needs, and exits 78',
  async (version) => {
    const preload = join(temporaryFolder(), 'older.cjs');
    await writeFile(
      preload,
      `Object.defineProperty(process, 'version', { value: '${version}' });
     Object.defineProperty(process, 'versions', { value: { node: '${version.slice(1)}' } });`,
    );
    const older = run(bundle.path('bin/kopano-learnd'), ['health'], {
      env: { PATH: process.env['PATH'], NODE_OPTIONS: `--require=${preload}` },
    });
    await expect(older).rejects.toMatchObject({
      code: 78,
      stderr: expect.stringMatching(
        /^kopano-learnd: needs Node\.js 20\.19 or later; this is /,
      ) as string,
    });
  },
);

test('a wrong setting ends it with 78 and words', async () => {
  const failing = run(bundle.path('bin/kopano-learnd'), ['watch'], {
    env: { PATH: process.env['PATH'], LEARN_AFTER: 'burn' },
  });
  await expect(failing).rejects.toMatchObject({
    code: 78,
    stderr: expect.stringContaining('LEARN_AFTER must be remove or archive') as string,
  });
});

test('neither the demonstration nor its messages are in it', async () => {
  const text = await readFile(bundle.path('bin/kopano-learnd.mjs'), 'utf8');
  expect(text).toContain('controller.unproven');
  expect(text).not.toMatch(/npm run demo:|miracle slimming pills/);
});

test('what draws the page of evaluate is packed: nobody else reads it', async () => {
  const text = await readFile(bundle.path('bin/kopano-learnd.mjs'), 'utf8');
  const program = text.slice(0, text.indexOf('This file contains:'));
  expect(
    ['brotliDecompressSync', '--plot-background'].map((word) => program.includes(word)),
  ).toEqual([true, false]);
});

test('it holds the licence of every package that it holds, and nothing native', async () => {
  const text = await readFile(bundle.path('bin/kopano-learnd.mjs'), 'utf8');
  const names = Array.from(
    text.matchAll(/^=== (\S+) \d+\.\d+\.\d+: \S+$/gm),
    ([, name = '']) => name,
  );
  expect(names).toEqual(expect.arrayContaining(Object.keys(packageJson.dependencies)));
  for (const name of names) {
    const folder = projectFile(`node_modules/${name}`);
    const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const licence = file === undefined ? '' : await readFile(join(folder, file), 'utf8');
    const missing = licence.split('\n').filter((line) => !text.includes(line.trim()));
    expect({ name, missing }).toEqual({ name, missing: [] });
  }
  expect(text).not.toMatch(/\.node\b['"`]/);
  expect((await stat(bundle.path('bin/kopano-learnd.mjs'))).size).toBeLessThan(1024 * 1024);
});

test('it loads no more of Node.js at its start than health, which is run every few seconds, needs', async () => {
  const text = await readFile(bundle.path('bin/kopano-learnd.mjs'), 'utf8');
  const imports = text.matchAll(/\bimport\s*(?:[\w$*{][^;'"]*from\s*)?["']([^"']+)["'];/g);
  expect([...imports].map(([, name]) => name)).toEqual(['node:module']);
});

test('what is beside it is for images only: no log service', async () => {
  const contents = (await readdir(bundle.folder)).filter((name) => !name.endsWith('.mjs'));
  expect(contents.sort()).toEqual(['bin', 'entry.d', 'exit.d', 'install', 'sv']);
  const service = join(bundle.folder, 'sv/kopano-learnd');
  expect((await readdir(service)).sort()).toEqual(['check', 'finish', 'run']);
});

test('it takes no folder’s place but that of an earlier bundle', async () => {
  const folder = temporaryFolder();
  await writeFile(join(folder, 'Dockerfile'), 'FROM scratch\n');
  const bundling = run(process.execPath, [projectFile('scripts/bundle.mjs'), folder]);
  await expect(bundling).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('holds something else') as string,
  });
  expect(await readdir(folder)).toEqual(['Dockerfile']);
});

test('the sidecar image’s label says the same version', async () => {
  const dockerfile = await readFile(projectFile('service/Dockerfile'), 'utf8');
  expect(dockerfile).toContain(`image.version="${packageJson.version}"`);
});
