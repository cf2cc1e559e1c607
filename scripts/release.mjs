/**
 * `npm run release [-- FLAG...]`: the files to install, in `release/`:
 *
 *   kopano-learnd.mjs              the program as one file
 *   kopano-learnd_VERSION_all.deb  the package for Debian and Ubuntu (wants dpkg-deb)
 *   kopano-learnd-VERSION-ARCH.oci.tar  the image of service/Dockerfile (wants buildah and a base)
 *   SHA256SUMS
 *
 *   --output FOLDER   another folder than `release`
 *   --base BASE       what the image is built on: `debootstrap` (which is the default, and makes a
 *                     Debian 13; as root), the tar file of a root file system, or an image that buildah
 *                     knows or can pull: debian:13-slim, oci-archive:FILE
 *   --no-image        leaves the image out
 *   --complete        fails when a file has to be left out
 *
 * The same commit makes the same bytes, wherever and whenever it is built, the image on the same base:
 * all times are that of the last commit, or SOURCE_DATE_EPOCH. `debootstrap` takes what Debian has
 * today; it keeps what it made as `dist/release-base.tar`, to be named by --base.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildDeb } from './release/deb.mjs';
import { asBase, buildImage } from './release/image.mjs';
import { LeftOut, capture, run } from './release/tools.mjs';

const NAME = 'kopano-learnd';
/** As images name it: the base has Node.js for this machine. */
const ARCHITECTURE = { x64: 'amd64' }[process.arch] ?? process.arch;
const root = path.join(import.meta.dirname, '..');

const flags = readFlags();
const folder = path.resolve(flags.output);
const base = asBase(flags.base);
process.chdir(root);
process.umask(0o022);
const epoch = await lastChange();
// read by esbuild's, dpkg's and tar's children alike
Object.assign(process.env, { SOURCE_DATE_EPOCH: String(epoch), LC_ALL: 'C.UTF-8', TZ: 'UTC' });
const { version } = JSON.parse(await readFile('package.json', 'utf8'));
const scratch = await mkdtemp(path.join(tmpdir(), 'learnd-release-'));
// users of their own have to get to what lies in it, when an image is built
await chmod(scratch, 0o755);
try {
  process.exitCode = await release();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function release() {
  const bundle = path.join(scratch, 'bundle');
  const program = path.join(bundle, `bin/${NAME}.mjs`);
  await run(process.execPath, ['scripts/bundle.mjs', bundle]);
  await emptyOfReleases();

  const leftOut = [
    await make(`${NAME}.mjs`, async (output) => {
      await copyFile(program, output);
      await chmod(output, 0o755);
    }),
    await make(`${NAME}_${version}_all.deb`, (output) =>
      buildDeb({ program, version, epoch, scratch, output }),
    ),
    await make(`${NAME}-${version}-${ARCHITECTURE}.oci.tar`, (output) => {
      if (!flags.image) throw new LeftOut('as --no-image says');
      return buildImage({ bundle, base, version, epoch, scratch, output });
    }),
  ];
  await writeSums();
  return flags.complete && leftOut.includes(true) ? 1 : 0;
}

/** Makes one file; true when it is left out. */
async function make(name, write) {
  const output = path.join(folder, name);
  try {
    await write(output);
  } catch (error) {
    if (!(error instanceof LeftOut)) throw error;
    console.log(`left out: ${name}: ${error.message}`);
    return true;
  }
  const { length } = await readFile(output);
  const shown = output.startsWith(`${root}/`) ? path.relative(root, output) : output;
  console.log(`${shown}: ${Math.ceil(length / 1024)} KiB`);
  return false;
}

/** Files of an earlier version would get into SHA256SUMS. */
async function emptyOfReleases() {
  await mkdir(folder, { recursive: true });
  const old = (await readdir(folder)).filter(isReleased);
  await Promise.all(old.map((name) => rm(path.join(folder, name))));
}

function isReleased(name) {
  return name === 'SHA256SUMS' || (name.startsWith(NAME) && /\.(?:mjs|deb|oci\.tar)$/.test(name));
}

async function writeSums() {
  const names = (await readdir(folder)).filter(isReleased).sort();
  const lines = names.map(async (name) => {
    const bytes = await readFile(path.join(folder, name));
    return `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`;
  });
  await writeFile(path.join(folder, 'SHA256SUMS'), (await Promise.all(lines)).join(''));
}

/** In seconds: what the files say of their age. */
async function lastChange() {
  const given = process.env['SOURCE_DATE_EPOCH'] ?? '';
  if (/^\d+$/.test(given)) return Number(given);
  const told = await capture('git', ['-c', `safe.directory=${root}`, 'log', '-1', '--format=%ct']);
  if (/^\d+\n$/.test(told)) return Number(told);
  console.error('no commit tells how old the sources are: set SOURCE_DATE_EPOCH, in seconds');
  process.exit(1);
}

function readFlags() {
  try {
    return parseArgs({
      allowNegative: true,
      options: {
        output: { type: 'string', default: 'release' },
        base: { type: 'string', default: 'debootstrap' },
        image: { type: 'boolean', default: true },
        complete: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${error.message}
usage: npm run release -- [--output FOLDER] [--base BASE] [--no-image] [--complete]`);
    process.exit(64);
  }
}
