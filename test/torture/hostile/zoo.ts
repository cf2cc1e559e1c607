import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';
import { canMount, isRoot } from '../../support/temporary.ts';
import { give } from './world.ts';
import type { HostileWorld } from './world.ts';

/**
 * What can lie in a class folder and is no message, and names that a message can bear.
 */

/** What becomes of an exhibit. */
export type Fate =
  /** It stays, and is called no regular file. */
  | 'ignored'
  /** It stays, without a word at once. */
  | 'left'
  /** It stays, because it can't be moved. */
  | 'immovable'
  /** It goes into quarantine unread; on the way to another file system it stays. */
  | 'linked'
  | 'oversize';

interface Exhibit {
  readonly name: string;
  readonly fate: Fate;
  readonly make: (path: string, world: HostileWorld) => void;
}

const GB = 2 ** 30;

export const EXHIBITS: readonly Exhibit[] = [
  ...[
    ['symlink.eml', '../../outside/secret-0.eml'],
    ['dangling.eml', '/nowhere/at/all'],
    ['loop.eml', 'loop.eml'],
    ['\u001b[31m\n\u0085\u202e\u2028\u{1f4a9}.eml', '../../outside/secret-0.eml'],
    ['\u009b'.repeat(127), '../../outside/secret-0.eml'],
    ['to-folder.eml', '../../outside'],
    ['to-device.eml', '/dev/zero'],
    ['to-memory.eml', '/proc/self/environ'],
    ['to-terminal.eml', '/dev/stdin'],
  ].map(([name = '', target = '']) => symlinkTo(name, 'ignored', target)),
  ...[1, 2, 3, 4, 5].map((number): Exhibit => ({
    // Four are enough to hang whoever opens them by libuv's thread pool.
    name: `fifo-${number}.eml`,
    fate: 'ignored',
    make: (path) => execFileSync('mkfifo', ['-m', '660', path]),
  })),
  { name: 'socket.eml', fate: 'ignored', make: listenAt },
  {
    name: 'folder.eml',
    fate: 'ignored',
    make: (path, world) => {
      mkdirSync(path);
      linkSync(world.secret(1), `${path}/inside.eml`);
      symlinkSync(world.secret(2), `${path}/symlink.eml`);
    },
  },
  ...(isRoot ? [device('zero.eml', 'c', 5), device('disk.eml', 'b', 0)] : []),
  sparse('empty.eml', 0, 'left'),
  linkTo('.hidden.eml', 'left', 3),
  symlinkTo('.hidden-symlink.eml', 'left', '../../outside/secret-4.eml'),
  linkTo('..%2f..%2fetc%2fpasswd', 'left', 4),
  linkTo('..\u2215..\u2215x', 'left', 4),
  symlinkTo('...', 'left', '../../outside/secret-5.eml'),
  linkTo('link.eml', 'linked', 6),
  linkTo(`${'long-link-'.repeat(25)}.eml`, 'linked', 7),
  sparse('60-mb.eml', 60 * 2 ** 20, 'oversize'),
  sparse('8-gb.eml', 8 * GB, 'oversize'),
  ...(canMount ? [mounted('mounted.eml')] : []),
];

function symlinkTo(name: string, fate: Fate, target: string): Exhibit {
  return {
    name,
    fate,
    make: (path) => symlinkSync(target, path),
  };
}

/** A secret under a second name. */
function linkTo(name: string, fate: Fate, secret: number): Exhibit {
  return {
    name,
    fate,
    make: (path, world) => linkSync(world.secret(secret), path),
  };
}

function device(name: string, kind: string, minor: number): Exhibit {
  const major = kind === 'c' ? '1' : '7';
  return {
    name,
    fate: 'ignored',
    make: (path) => execFileSync('mknod', ['-m', '660', path, kind, major, String(minor)]),
  };
}

function sparse(name: string, size: number, fate: Fate): Exhibit {
  return {
    name,
    fate,
    make: (path) => {
      const fd = openSync(path, 'w', 0o660);
      ftruncateSync(fd, size);
      closeSync(fd);
      give(path);
      chmodSync(path, 0o660);
    },
  };
}

/** A secret that is mounted over a file. */
function mounted(name: string): Exhibit {
  return {
    name,
    fate: 'immovable',
    make: (path, world) => {
      writeFileSync(path, '');
      execFileSync('mount', ['--bind', world.secret(8), path]);
      onTestFinished(() => {
        execFileSync('umount', [path]);
      });
    },
  };
}

function listenAt(path: string): void {
  const server = createServer();
  server.listen(path);
  onTestFinished(() => {
    server.close();
  });
}

/** Names of messages, as bytes. */
export const NAMES: readonly Buffer[] = [
  'a plain one.eml',
  'without-an-ending',
  'x'.repeat(255),
  `${'y'.repeat(229)}1`,
  `${'y'.repeat(229)}2`,
  'two\nlines.eml',
  '\u001b[31mred\u001b[0m.eml',
  '\u001b]0;title\u0007.eml',
  'backspace\b\b\b.eml',
  'next\u0085line.eml',
  'right\u202eto\u2066left.eml',
  'zero\u200bwidth.eml',
  '\ufeffmark.eml',
  'separator\u2028.eml',
  'ümläut.eml',
  '\u{1f4a9}.eml',
  '-rf',
  '--help',
  '%2e%2e%2f..%2fetc%2fpasswd',
  '\u2024\u2024\u2215..\u2215etc\u2215passwd',
  '\\..\\..\\etc\\passwd',
  'x..',
  '%',
  '%2e%2e',
  '%00',
  '%s%n%x',
  '~',
  'a~0123456789abcdef0123456789abcdef',
  'reason.json',
  'reason%2Ejson',
  'a.json.json',
  '$(touch x)`id`;&|<>*?[]{}!#.eml',
  '"quoted" and \'quoted\'.eml',
  ' ',
  '\t',
  '__proto__',
  'constructor',
  'toString',
]
  .map((name) => Buffer.from(name))
  .concat([
    Buffer.alloc(255, 0xfc),
    Buffer.from('latin-\xfc.eml', 'latin1'),
    Buffer.from([0x2e + 0x80, 0x80, 0xff, 0xfe]),
    // overlong dots and slash
    Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0xc0, 0xaf]),
    // half of a surrogate pair
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from([...Array.from({ length: 255 }, (_, i) => i + 1)].filter((byte) => byte !== 0x2f)),
  ]);
