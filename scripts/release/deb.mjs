/**
 * The Debian package. What is in it is made of what is there already: the bundle, the systemd unit, the
 * commands' own definitions (manual.mjs), the table of settings, the changelog. Only what a package
 * alone needs lies in service/debian/. There is nothing to compile, so that dpkg-deb alone makes it.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  lutimes,
  mkdir,
  readFile,
  readdir,
  rename,
  symlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { writeManual } from '../manual.mjs';
import { settingsFile } from './settings-file.mjs';
import { LeftOut, capture, isThere, run } from './tools.mjs';

const NAME = 'kopano-learnd';
const CONFFILE = `etc/${NAME}.conf`;
const EXECUTABLE = new Set([
  `usr/lib/${NAME}/${NAME}.mjs`,
  'DEBIAN/postinst',
  'DEBIAN/prerm',
  'DEBIAN/postrm',
]);
const DOC = `usr/share/doc/${NAME}`;

/** @param {{program: string, version: string, epoch: number, scratch: string, output: string}} options */
export async function buildDeb({ program, version, epoch, scratch, output }) {
  if (!(await isThere('dpkg-deb'))) {
    throw new LeftOut('there is no dpkg-deb; on another Linux it is in the package dpkg');
  }
  const tree = path.join(scratch, 'deb');
  const maintainer = await maintainerOf(process.env);
  await put(tree, `usr/lib/${NAME}/${NAME}.mjs`, await readFile(program));
  await mkdir(path.join(tree, 'usr/bin'), { recursive: true });
  await symlink(`../lib/${NAME}/${NAME}.mjs`, path.join(tree, 'usr/bin', NAME));
  await put(tree, CONFFILE, await settingsFile());
  await putUnit(tree);
  await putManual(tree, epoch);
  await putDocuments(tree, { program, version, maintainer, epoch });
  await putControl(tree, { version, maintainer });
  await settle(tree, epoch);
  await run('dpkg-deb', [
    // one thread: the bytes of more depend on how many there are
    ...['--root-owner-group', '-Zxz', '--threads-max=1', '--build', tree, output],
  ]);
}

/**
 * Whom a package's users write to: who is named by the variables of Debian's own tools, else who made
 * the last commit.
 */
async function maintainerOf({ DEBFULLNAME, DEBEMAIL }) {
  const words = ['-c', `safe.directory=${process.cwd()}`, 'log', '-1', '--format=%an%n%ae'];
  const [author, address] = (await capture('git', words)).trim().split('\n');
  const [name, email] = [DEBFULLNAME || author, DEBEMAIL || address];
  if (name && email) return `${name} <${email}>`;
  throw new LeftOut('nobody is named who maintains it: set DEBFULLNAME and DEBEMAIL');
}

async function put(tree, file, content) {
  const target = path.join(tree, file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, content);
}

/** The unit of service/systemd, with the package's paths, and waiting for a spool. */
async function putUnit(tree) {
  const unit = await readFile(`service/systemd/${NAME}.service`, 'utf8');
  const changed = [
    [/^# Settings, .*\n/m, `# Settings: /${CONFFILE}\n`],
    [
      /^(Description=.*\n)/m,
      `$1Documentation=man:${NAME}(1) man:${NAME}.conf(5)\n# kopano-spamd makes it\nConditionPathIsDirectory=/var/lib/kopano/spamd/ham\n`,
    ],
    [/^ExecStart=\/usr\/local\/bin\//m, 'ExecStart=/usr/bin/'],
  ].reduce((text, [from, to]) => text.replace(from, to), unit);
  if (!changed.includes(`ExecStart=/usr/bin/${NAME} `) || !changed.includes('Condition')) {
    throw new Error('the unit in service/systemd no longer has what the package changes of it');
  }
  await put(tree, `usr/lib/systemd/system/${NAME}.service`, changed);
  await put(
    tree,
    `usr/lib/sysusers.d/${NAME}.conf`,
    await readFile('service/debian/sysusers.conf'),
  );
  await put(
    tree,
    `usr/lib/tmpfiles.d/${NAME}.conf`,
    await readFile('service/debian/tmpfiles.conf'),
  );
}

async function putManual(tree, epoch) {
  const made = path.join(tree, 'manual');
  const places = {
    [`${NAME}.1`]: 'usr/share/man/man1',
    [`${NAME}.conf.5`]: 'usr/share/man/man5',
    [`${NAME}.bash`]: 'usr/share/bash-completion/completions',
    [`_${NAME}`]: 'usr/share/zsh/vendor-completions',
    [`${NAME}.fish`]: 'usr/share/fish/vendor_completions.d',
  };
  await writeManual(made, new Date(epoch * 1000).toISOString().slice(0, 10));
  for (const [name, folder] of Object.entries(places)) {
    await mkdir(path.join(tree, folder), { recursive: true });
    // bash looks for the command's own name
    await rename(path.join(made, name), path.join(tree, folder, name.replace(/\.bash$/, '')));
    if (folder.includes('/man/')) await compress(path.join(tree, folder, name));
  }
  const left = await readdir(made);
  if (left.length > 0) throw new Error(`the package has no place for ${left.join(', ')}`);
  await run('rmdir', [made]);
}

/** The program's texts name docs/, so that the package has it. */
async function putDocuments(tree, { program, version, maintainer, epoch }) {
  await put(
    tree,
    `${DOC}/copyright`,
    copyright(await readFile('LICENSE', 'utf8'), await readFile(program, 'utf8')),
  );
  await put(
    tree,
    `${DOC}/changelog`,
    changelog(await readFile('CHANGELOG.md', 'utf8'), { version, maintainer, epoch }),
  );
  await compress(path.join(tree, DOC, 'changelog'));
  await put(tree, `${DOC}/README.md`, await readFile('README.md'));
  for (const name of await readdir('docs')) {
    await put(tree, `${DOC}/docs/${name}`, await readFile(`docs/${name}`));
  }
  await put(
    tree,
    `usr/share/lintian/overrides/${NAME}`,
    await readFile('service/debian/lintian-overrides'),
  );
  for (const name of [`prometheus/${NAME}.rules.yaml`, `grafana/${NAME}.json`]) {
    await put(tree, `${DOC}/examples/${path.basename(name)}`, await readFile(`service/${name}`));
  }
}

/** The licences that the bundle names at its end. */
function copyright(licence, program) {
  const contained = /\/\*\nThis file contains:\n\n([^]*)\n\*\/\n*$/.exec(program)?.[1];
  if (contained === undefined) {
    throw new Error('the bundle does not name the licences of what is in it');
  }
  const licences = contained.split(/^(?==== )/m).map(shortened);
  return `kopano-learnd is under this licence:

${licence.trim()}

The program, /usr/lib/${NAME}/${NAME}.mjs, is one file that has other packages in it:

${licences.join('')}`.replace(/\n*$/, '\n');
}

/** Debian wants the name of a licence that it has itself, not its text. */
function shortened(section) {
  const [head] = section.split('\n', 1);
  if (!head.endsWith(': Apache-2.0')) return section;
  const owners = section.split('\n').filter((line) => /^\s*Copyright\b.*\d{4}/.test(line));
  const text = 'The text of the licence is in /usr/share/common-licenses/Apache-2.0.';
  return [head, '', ...owners.map((line) => line.trim()), text, '', ''].join('\n');
}

/** CHANGELOG.md in Debian's form. What is unreleased there is this version. */
function changelog(text, { version, maintainer, epoch }) {
  const sections = text.split(/^## /m).slice(1);
  const entries = sections.map((section) => {
    const [, name, date] = /^\[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?/.exec(section) ?? [];
    const isThis = name === 'Unreleased' || name === version;
    const bullets = section.split(/^- /m).slice(1);
    return {
      version: isThis ? version : name,
      time: isThis || date === undefined ? epoch : Date.parse(`${date}T12:00:00Z`) / 1000,
      lines: bullets.flatMap((bullet) => wrap(withoutHeadings(bullet), '  * ', '    ')),
    };
  });
  return entries
    .filter(
      (entry, index) =>
        entry.lines.length > 0 &&
        entries.findIndex((other) => other.version === entry.version) === index,
    )
    .map(
      ({ version: of, time, lines }) =>
        `${NAME} (${of}) unstable; urgency=medium\n\n${lines.join('\n')}\n\n -- ${maintainer}  ${mailDate(time)}\n`,
    )
    .join('\n');
}

function withoutHeadings(bullet) {
  return bullet
    .replace(/^#+ .*$/gm, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '');
}

function wrap(text, first, rest) {
  const lines = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    if (!isEmpty && line.length + 1 + word.length > 78) {
      lines.push(line);
      line = rest;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}

/** As `date -R` writes it, in UTC. */
function mailDate(seconds) {
  return new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
}

async function compress(file) {
  await run('gzip', ['-9n', file]);
}

async function putControl(tree, { version, maintainer }) {
  const files = (await filesOf(tree)).filter(({ isLink }) => !isLink);
  const contents = await Promise.all(files.map(({ file }) => readFile(path.join(tree, file))));
  const sums = files
    .map(
      ({ file }, index) => `${createHash('md5').update(contents[index]).digest('hex')}  ${file}\n`,
    )
    .filter((_, index) => files[index].file !== CONFFILE);
  const kilobytes = contents.reduce((sum, { length }) => sum + Math.ceil(length / 1024), 0);
  const control = (await readFile('service/debian/control', 'utf8'))
    .replace('@VERSION@', version)
    .replace('@MAINTAINER@', maintainer)
    .replace('@INSTALLED_SIZE@', String(kilobytes));
  await put(tree, 'DEBIAN/control', control);
  await put(tree, 'DEBIAN/md5sums', sums.join(''));
  await put(tree, 'DEBIAN/conffiles', `/${CONFFILE}\n`);
  for (const script of ['postinst', 'prerm', 'postrm']) {
    await mkdir(path.join(tree, 'DEBIAN'), { recursive: true });
    await copyFile(`service/debian/${script}`, path.join(tree, 'DEBIAN', script));
  }
}

/** Every file and link below a folder, in an order that doesn't depend on the disk. */
async function filesOf(tree) {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => ({
      file: path.relative(tree, path.join(entry.parentPath, entry.name)),
      isLink: entry.isSymbolicLink(),
    }))
    .sort((one, other) => (one.file < other.file ? -1 : 1));
}

/** Rights and times as they are to be, whatever the sources' are. */
async function settle(tree, epoch) {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  for (const entry of [...entries].reverse()) {
    const target = path.join(entry.parentPath, entry.name);
    const isProgram = EXECUTABLE.has(path.relative(tree, target));
    if (!entry.isSymbolicLink())
      await chmod(target, entry.isDirectory() || isProgram ? 0o755 : 0o644);
    await lutimes(target, epoch, epoch);
  }
  await chmod(tree, 0o755);
  await lutimes(tree, epoch, epoch);
}
