import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needsPrograms } from '../support/needs.ts';
import { projectFile, run } from './bundle.ts';

let folder: string;
let delivered: string;

/** The file as compose understands it; it takes a second. */
async function configOf(
  text: string,
  env: Readonly<Record<string, string>> = {
    KOPANO_UID: '101',
    KOPANO_GID: '102',
  },
): Promise<string> {
  const file = join(folder, 'service/compose.yaml');
  await writeFile(file, text);
  const { stdout } = await run('docker-compose', ['-f', file, 'config'], {
    env: { PATH: process.env['PATH'], HOME: folder, ...env },
  });
  return stdout;
}

/** The services of a configuration, each with its lines. */
function servicesOf(config: string): Record<string, string> {
  const part = /^services:\n((?: .*\n|\n)*)/m.exec(config)?.[1] ?? '';
  const pieces = part.split(/^ {2}([a-z-]+):\n/m).slice(1);
  return Object.fromEntries(
    pieces.flatMap((name, index) => (index % 2 === 0 ? [[name, pieces[index + 1] ?? '']] : [])),
  );
}

describe('compose.yaml', needsPrograms('docker-compose'), () => {
  /** A folder with what it refers to. */
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'learnd-compose-'));
    for (const name of [
      'service/secrets',
      'service/rspamd',
      'service/postfix-amavis',
      'dist/bundle',
    ]) {
      await mkdir(join(folder, name), { recursive: true });
    }
    await cp(projectFile('service/Dockerfile'), join(folder, 'service/Dockerfile'));
    delivered = await readFile(projectFile('service/compose.yaml'), 'utf8');
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test('asks for kopano’s uid, with words', async () => {
    await expect(configOf(delivered, {})).rejects.toMatchObject({
      stderr: expect.stringContaining('the uid of the user kopano') as string,
    });
  });

  test('has Kopano, rspamd and the sidecar as kopano, read-only, with its password from a secret', async () => {
    const services = servicesOf(await configOf(delivered));
    expect(Object.keys(services).sort()).toEqual([
      ...['kopano', 'learnd', 'redis', 'rspamd', 'spamd-folders'],
    ]);
    for (const name of ['kopano', 'learnd']) {
      expect(services[name]).toMatch(/spamd:\/var\/lib\/kopano\/spamd|source: spamd\n/);
    }
    expect(services['rspamd']).not.toContain('/var/lib/kopano');
    for (const name of ['learnd', 'redis', 'rspamd']) {
      expect(services[name]).toContain('healthcheck:');
    }
    const { learnd, rspamd } = services;
    expect(learnd).toMatch(/user: '?"?101:102/);
    expect(learnd).toContain('read_only: true');
    expect(learnd).toContain('RSPAMD_PASSWORD_FILE: /run/secrets/rspamd-password');
    expect(learnd).toMatch(/source: rspamd-password/);
    // Bayes has its Redis
    expect(rspamd).toMatch(/source: redis-conf\n\s+target: \/etc\/rspamd\/local\.d\/redis\.conf/);
  });

  test('every file of service/secrets is made by a command of the header', () => {
    const files = [...delivered.matchAll(/file: \.\/secrets\/(.+)/g)].map(([, name]) => name);
    const made = [...delivered.matchAll(/^#.* >service\/secrets\/(\S+)/gm)].map(([, name]) => name);
    expect(files.sort()).toEqual(made.sort());
  });

  test.each([
    ['# Without a sidecar', 'rspamd', '  redis:\n  rspamd:\n'],
    ['# With amavis', 'mail-mta', '  amavis:\n'],
  ])('the variant "%s", which is a comment, is whole', async (title, name, volumes) => {
    const [comment = ''] = delivered.slice(delivered.indexOf(title)).split('\n\n');
    const instead = comment.match(/^# {2}.*\n?/gm)?.map((line) => line.slice(1)) ?? [];
    const from = delivered.indexOf('  redis:\n');
    const rest = delivered.slice(delivered.indexOf('\nvolumes:\n'));
    const services = servicesOf(
      await configOf(
        `${delivered.slice(0, from)}${instead.join('')}${rest.replace('  redis:\n  rspamd:\n', volumes)}`,
      ),
    );
    expect(Object.keys(services).sort()).toEqual(['kopano', name, 'spamd-folders'].sort());
    expect(services[name]).toMatch(/spamd:\/var\/lib\/kopano\/spamd|source: spamd\n/);
  });
});
