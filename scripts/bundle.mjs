/**
 * `npm run bundle [FOLDER]`: what goes into images, in FOLDER (`dist/bundle`):
 *
 *   bin/kopano-learnd.mjs   the daemon and the packages that it needs at run time as one file, and
 *                           at its end their licences; nothing in it is native, so that it is the
 *                           same on every architecture
 *   bin/kopano-learnd       a link to it
 *   the rest                what an image needs beside it (service/image/, service/runit/)
 *
 * The folders are named as the sources of mlan/rspamd name theirs.
 */
import { build } from 'esbuild';
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readFile,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { brotliCompressSync } from 'node:zlib';

/** What `evaluate --html` imports when it has something to draw. */
const PAGE = 'src/evaluate/page/page.ts';

/** What packages import for what nobody here asks of them: a sixth of what they would be. */
const LEFT_OUT = [
  // got: HTTP/2, a cache of answers, a cache of names
  'http2-wrapper',
  'cacheable-request',
  'cacheable-lookup',
  // pino: a log written by another thread, or to several places, or without some of its fields
  'pino/lib/multistream',
  'pino/lib/transport',
  '@pinojs/redact',
  // prom-client: figures of the process, of a cluster, for a gateway, and quantiles
  'prom-client/lib/defaultMetrics',
  'prom-client/lib/cluster',
  'prom-client/lib/pushgateway',
  'prom-client/lib/summary',
];

const folder = path.resolve(process.argv[2] ?? 'dist/bundle');
const output = path.join(folder, 'bin/kopano-learnd.mjs');
process.chdir(path.join(import.meta.dirname, '..'));

await makeRoom();
await mkdir(path.dirname(output), { recursive: true });
await symlink(path.basename(output), path.join(path.dirname(output), 'kopano-learnd'));
await cp('service/image', folder, { recursive: true });
// in a container the log goes to standard output, so that there is no log service
await cp('service/runit/kopano-learnd', path.join(folder, 'sv/kopano-learnd'), {
  recursive: true,
  filter: (source) => path.basename(source) !== 'log',
});
const page = await pageModule();
const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outfile: output,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  // where node_modules/ really lies must not get into the file
  preserveSymlinks: true,
  // names stay as they are, for stack traces
  minifySyntax: true,
  minifyWhitespace: true,
  // lintian gives up at lines of 64 KB
  lineLimit: 2_000,
  legalComments: 'eof',
  metafile: true,
  logLevel: 'warning',
  plugins: [lateBuiltins(), leftOut(), packedPage(page.code)],
  // packages in CommonJS ask for Node's own modules by require(), which ES modules don't have
  banner: {
    js: "import { createRequire as learndCreateRequire } from 'node:module'; const require = learndCreateRequire(import.meta.url);",
  },
});

const code = copiedOnce(await readFile(output, 'utf8'));
await writeFile(output, code.replace(/^#!.*\n/, firstLines()));
const packages = packagesOf([...Object.keys(metafile.inputs), ...page.inputs]);
await appendFile(output, `\n/*\nThis file contains:\n\n${await licences(packages)}\n*/\n`);
await chmod(output, 0o755);
const { size } = await stat(output);
console.log(
  `${path.relative('.', output)}: ${(size / 1024).toFixed(0)} KiB, ${packages.length} packages`,
);

/** Takes away an earlier bundle, which its link shows first of all, and nothing else. */
async function makeRoom() {
  const isBundle =
    (await readlink(path.join(folder, 'bin/kopano-learnd')).catch(() => '')) ===
    path.basename(output);
  if (isBundle) await rm(folder, { recursive: true });
  const found = await readdir(folder).catch(() => []);
  if (found.length === 0) return;
  console.error(`${folder} holds something else than an earlier bundle: name a folder of its own`);
  process.exit(1);
}

/**
 * What starts the file, for a shell and for Node.js alike: `env -S`, which could pass flags, is
 * missing in Alpine's busybox.
 *
 * V8 would rather let the garbage of a burst pile up than collect it. With 50,000 files waiting the
 * peak RSS of `watch` was 171 MB without flags and 99 MB with these, which take 5 to 10 % more time to
 * pick them up; with --optimize-for-size 90 MB, and half the speed (Node.js 20; 24 and 26 know the
 * flags, too). The memory of `evaluate` would else depend on how long it reads. A Node.js that doesn't know
 * them any more starts without them: to ask for its version, with them, takes 5 ms, and to run nothing 45.
 */
function firstLines() {
  const small = '--max-semi-space-size=4 --heap-growing-percent=40';
  // Node.js 12, as Ubuntu 22.04 has it, can't read the file at all, and would print it.
  const start =
    'if(parseInt(process.version.slice(1))<14){console.error("kopano-learnd: needs Node.js 20.19 or later; this is "+process.version);process.exit(78)}import(require("url").pathToFileURL(process.argv[1]))';
  const words = [
    `flags=; case \${1-watch} in watch | evaluate | -*) flags='${small}'; node $flags --version >/dev/null 2>&1 || flags=;; esac`,
    `exec node $flags -e '${start}' "$0" "$@"`,
  ];
  return ['#!/bin/sh', `':' //; ${words.join('; ')}`, ''].join('\n');
}

/**
 * Node's own modules are loaded by who needs them, when they are needed. As `import` they would all
 * be loaded at the start of the one file, by `health` too, which is run every few seconds.
 */
function lateBuiltins() {
  const namespace = 'builtin';
  return {
    name: 'late-builtins',
    setup(builder) {
      builder.onResolve({ filter: /.*/ }, ({ path: name, kind, namespace: from }) => {
        if (!isBuiltin(name)) return undefined;
        return kind === 'import-statement' && from !== namespace
          ? { path: name, namespace }
          : { path: name, external: true };
      });
      builder.onLoad({ filter: /.*/, namespace }, ({ path: name }) => ({
        contents: `module.exports = require(${JSON.stringify(name)})`,
      }));
    },
  };
}

/** In the place of each of {@link LEFT_OUT} a class that says so when it is made. */
function leftOut() {
  const namespace = 'left-out';
  return {
    name: namespace,
    setup(builder) {
      const missing = new Set(LEFT_OUT);
      builder.onResolve({ filter: /.*/ }, ({ path: given, importer }) => {
        const name = given.startsWith('.')
          ? path.join(path.dirname(importer), given).replace(/^.*\/node_modules\//, '')
          : given;
        missing.delete(name);
        return LEFT_OUT.includes(name) ? { path: name, namespace } : undefined;
      });
      builder.onEnd(() => {
        if (missing.size > 0)
          throw new Error(`nothing imports ${[...missing].join(', ')} any more`);
      });
      builder.onLoad({ filter: /.*/, namespace }, ({ path: name }) => ({
        contents: [
          `class LeftOut { constructor() { throw new Error('The bundle was made without ${name}'); } }`,
          // got asks whether an error is this one
          'module.exports = Object.assign(LeftOut, { CacheError: LeftOut });',
        ].join('\n'),
      }));
    },
  };
}

/**
 * For each import of a module that is none of ES, esbuild has all its names copied; here the first copy
 * serves all. It takes a tenth of the start.
 */
function copiedOnce(code) {
  const copier = /\b__toESM=(?=\(\w+,\w+,\w+\)=>)/;
  if (!copier.test(code)) throw new Error('esbuild copies in another way now');
  const once =
    '__copies=new Map,__toESM=(from,isNodeMode)=>{if(!isNodeMode)return __copyOf(from);if(!__copies.has(from))__copies.set(from,__copyOf(from,isNodeMode));return __copies.get(from)},__copyOf=';
  return code.replace(copier, once);
}

/**
 * The page of `evaluate --html`, with the packages that draw its plots, as one ES module. They are as
 * large as all the rest, and nobody else needs them.
 */
async function pageModule() {
  const { outputFiles, metafile } = await build({
    entryPoints: [PAGE],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    preserveSymlinks: true,
    minify: true,
    legalComments: 'none',
    // linkedom can do without
    external: ['canvas'],
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  return { code: outputFiles[0].contents, inputs: Object.keys(metafile.inputs) };
}

/** Puts the page's module into the file as compressed text, which is unpacked when it is imported. */
function packedPage(code) {
  // In lines of its own: one that esbuild ends by a backslash is one line with the next to lintian, which
  // gives up at 64 KB of them.
  const packed = brotliCompressSync(code)
    .toString('base64')
    .replace(/.{1,1000}/g, '$&\n');
  return {
    name: 'packed-page',
    setup(builder) {
      builder.onLoad({ filter: /\/src\/evaluate\/page\/page\.ts$/ }, () => ({
        contents: [
          "import { brotliDecompressSync } from 'node:zlib';",
          `const packed = \`${packed}\`;`,
          "const code = brotliDecompressSync(Buffer.from(packed, 'base64')).toString('base64');",
          'const page = await import(`data:text/javascript;base64,${code}`);',
          'export const { pageOf } = page;',
        ].join('\n'),
        resolveDir: builder.initialOptions.absWorkingDir,
      }));
    },
  };
}

/** The folders of the packages that files were taken from. */
function packagesOf(inputs) {
  const folders = inputs.map(
    (input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0],
  );
  return [...new Set(folders)].filter((folder) => folder !== undefined).sort();
}

/** What packages want said about themselves; what several say in the same words is said once. */
async function licences(folders) {
  const said = new Map();
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(
      await readFile(path.join(folder, 'package.json'), 'utf8'),
    );
    // One that says nothing must not get into an image.
    if (license === undefined) throw new Error(`${folder} has no licence`);
    const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file === undefined ? '' : await readFile(path.join(folder, file), 'utf8');
    const lines = text.split(/\r?\n/).map((line) => line.trimEnd());
    const isOwn = (line) =>
      /^\s*Copyright\b|^(The )?(MIT|ISC) License( \((MIT|ISC)\))?$/.test(line);
    const terms = lines
      .filter((line) => !isOwn(line))
      .join('\n')
      .trim();
    const words = terms.replace(/\s+/g, ' ');
    const entry = said.get(words) ?? { heads: [], terms };
    const owners = lines.filter((line) => isOwn(line));
    entry.heads.push([`=== ${name} ${version}: ${license}`, ...owners].join('\n'));
    said.set(words, entry);
  }
  return [...said.values()]
    .map(({ heads, terms }) => [...heads, terms].join('\n\n').trimEnd())
    .join('\n\n')
    .replaceAll('*/', '* /');
}
