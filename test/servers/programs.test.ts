import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'learnd-programs-test-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function install(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, '#!/bin/sh\n', { mode: 0o755 });
  return path;
}

test('Valkey stands in for a Redis that is missing, and for no other', () => {
  // this machine may have one in an sbin folder, which is looked at as well
  const inSbin = findProgram('redis-server', '');
  const valkey = install('valkey-server');
  const found = findProgram('redis-server', folder);
  expect(found).toBe(inSbin?.endsWith('redis-server') === true ? inSbin : valkey);
  expect(findProgram('rspamd', folder)).toBe(findProgram('rspamd', ''));
  const redis = install('redis-server');
  expect(findProgram('redis-server', folder)).toBe(redis);
});
