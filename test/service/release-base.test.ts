import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { projectFile } from './bundle.ts';

/** What the image of a release is built on, for `--base WORD` in the folder `/srv`. */
function baseOf(word: string): string {
  const script = `const { asBase } = await import(${JSON.stringify(projectFile('scripts/release/image.mjs'))});
    process.chdir('/srv');
    process.stdout.write(asBase(process.argv[1]));`;
  return execFileSync(process.execPath, ['--input-type=module', '--eval', script, word], {
    encoding: 'utf8',
  });
}

test.each([
  'debootstrap',
  'debian:13-slim',
  'oci-archive:/srv/base.tar',
  'docker-archive:base.tar',
])('--base %s is for buildah, or debootstrap', (word) => expect(baseOf(word)).toBe(word));

test.each([
  ['dist/release-base.tar', '/srv/dist/release-base.tar'],
  ['./base', '/srv/base'],
  ['/tmp/base.tar', '/tmp/base.tar'],
])('--base %s is a file', (word, file) => expect(baseOf(word)).toBe(file));
