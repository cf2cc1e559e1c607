import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { projectFile, run } from './bundle.ts';
import { needsPrograms } from '../support/needs.ts';
import { temporaryFolder } from '../support/temporary.ts';

const UNIT = projectFile('service/systemd/kopano-learnd.service');
/** In tenths; 10.0 is a service without any protection. */
const EXPOSURE_LIMIT = 20;

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

describe('the systemd unit', needsPrograms('systemd-analyze'), () => {
  test('is understood by systemd, every line of it', async () => {
    const unit = await readFile(UNIT, 'utf8');
    // the comments that show how a password gets in are part of it
    const whole = unit.replaceAll(/^#(?=[A-Z][A-Za-z]+=)/gm, '');
    expect(whole).toMatch(/^LoadCredential=/m);
    const path = join(folder, 'kopano-learnd.service');
    await writeFile(path, whole.replace('/usr/local/bin/kopano-learnd', process.execPath));
    // what it doesn't understand it tells, and succeeds
    expect(await run('systemd-analyze', ['verify', path])).toEqual({
      stdout: '',
      stderr: '',
    });
  });

  test('is exposed little', async () => {
    const { stdout } = await run('systemd-analyze', [
      ...['security', '--no-pager', '--offline=true', `--threshold=${EXPOSURE_LIMIT}`, UNIT],
    ]);
    const exposure = /Overall exposure level for .*: (\d+\.\d)/.exec(stdout)?.[1];
    expect(Number(exposure)).toBeLessThan(EXPOSURE_LIMIT / 10);
  });
});
