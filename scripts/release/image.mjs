/**
 * The image of service/Dockerfile as an OCI archive. buildah writes the layers as a folder, which is
 * packed here: in an archive of buildah's own every file has the time at which it was written.
 *
 * An OCI image has no health check: whoever runs it says `kopano-learnd health`.
 */
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LeftOut, isThere, pack, run } from './tools.mjs';

const KEPT_BASE = 'dist/release-base.tar';

/**
 * What --base names: a root file system's tar file as an absolute path, anything else as buildah knows it,
 * which may end in .tar, too: `oci-archive:FILE`.
 */
export function asBase(text) {
  return /^[./]|^[^:]*\.tar$/.test(text) ? path.resolve(text) : text;
}

/**
 * @param {{bundle: string, base: string, version: string, epoch: number, scratch: string, output: string}} options
 * bundle: what scripts/bundle.mjs made; base: see ../release.mjs
 */
export async function buildImage({ bundle, base, version, epoch, scratch, output }) {
  if (!(await isThere('buildah'))) throw new LeftOut('there is no buildah');
  const images = [];
  try {
    const from = await baseImage({ base, epoch, scratch });
    images.push(...from.made);
    const image = await build({
      ...{ context: bundle, file: 'service/Dockerfile', epoch, scratch },
      args: ['--build-arg', `BASE=${from.image}`],
    });
    images.unshift(image);
    const layout = path.join(scratch, 'oci');
    await run('buildah', ['push', '--quiet', image, `oci:${layout}:kopano-learnd:${version}`]);
    await pack(layout, output, epoch);
  } finally {
    for (const image of images) await run('buildah', ['rmi', '--force', image]);
  }
}

/** The image to build on, and what of it is to be removed again. */
async function baseImage({ base, epoch, scratch }) {
  const file = base === 'debootstrap' ? await debootstrap({ epoch, scratch }) : base;
  if (path.isAbsolute(file)) {
    const image = await imageOfTar({ file, epoch, scratch });
    return { image, made: [image] };
  }
  const pulled = await run('buildah', ['pull', '--quiet', '--policy=missing', base]);
  return { image: pulled.trim(), made: [] };
}

async function debootstrap({ epoch, scratch }) {
  const others =
    'give the image a base: --base debian:13-slim, or the tar file of a root file system';
  if (!(await isThere('debootstrap'))) throw new LeftOut(`there is no debootstrap; ${others}`);
  if (process.getuid() !== 0) throw new LeftOut(`debootstrap wants root; ${others}`);
  const root = path.join(scratch, 'debian');
  await run('debootstrap', ['--variant=minbase', '--include=nodejs', 'trixie', root]);
  // logs, caches, and what debootstrap took over from this machine
  await run('sh', [
    ...[
      '-euc',
      'cd "$1" && rm -rf var/log/* var/cache/* var/lib/apt/lists/* etc/resolv.conf etc/hostname dev/*',
    ],
    ...['sh', root],
  ]);
  await mkdir(path.dirname(KEPT_BASE), { recursive: true });
  await pack(root, KEPT_BASE, epoch);
  console.log(`the image's base: ${KEPT_BASE}; the same image once more: --base ${KEPT_BASE}`);
  return path.resolve(KEPT_BASE);
}

async function imageOfTar({ file, epoch, scratch }) {
  await stat(file);
  const context = path.join(scratch, 'base');
  await mkdir(context);
  await copyFile(file, path.join(context, 'base.tar'));
  const recipe = path.join(scratch, 'base.Dockerfile');
  await writeFile(recipe, 'FROM scratch\nADD base.tar /\nCMD ["sh"]\n');
  const image = await build({ context, file: recipe, epoch, scratch, args: [] });
  await rm(context, { recursive: true });
  return image;
}

/** @returns the image's id; it gets no name, which could be somebody else's here */
async function build({ context, file, epoch, scratch, args }) {
  const idFile = path.join(scratch, `${path.basename(file)}.id`);
  await run('buildah', [
    ...['build', '--isolation', 'chroot', '--layers=false', '--timestamp', String(epoch)],
    ...['--pull-never', '--iidfile', idFile, ...args, '--file', file, context],
  ]);
  return (await readFile(idFile, 'utf8')).trim();
}
