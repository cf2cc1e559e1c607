import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { DaemonProcess } from '../../src/lab/daemon-process.ts';
import { makeMessage } from '../../src/lab/messages.ts';
import { compiled } from '../real/harness.ts';
import { byLength } from '../support/length.ts';
import { residentMb, until } from '../real/world.ts';

const FIRST = 1_000;
const ALL = byLength({ short: 4_000, middle: 10_000, long: 10_000 });

/** A controller that remembers what it was sent, and plays a restart of rspamd every two seconds. */
class RestartingController {
  readonly #known = new Set<string>();
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = `${request.url ?? ''} ${Buffer.concat(chunks).toString('latin1')}`;
      const id = /Message-ID: (\S+)/i.exec(body)?.[1] ?? body;
      response.shouldKeepAlive = false;
      response.writeHead(this.#known.has(id) ? 208 : 200).end('{"success":true}');
      this.#known.add(id);
    });
  });
  #stopped = false;
  port = 0;

  async start(): Promise<void> {
    await this.#listen();
    void this.#restartForEver();
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.port, '127.0.0.1', resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async #restartForEver(): Promise<void> {
    for (;;) {
      await sleep(2_000);
      this.#server.close();
      this.#server.closeAllConnections();
      await sleep(200);
      if (this.#stopped) return;
      await this.#listen();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Loaded into the daemon: SIGUSR2 collects garbage and writes `heapUsed` to a file. */
const PROBE = `
import { writeFileSync } from 'node:fs';
process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
  writeFileSync(process.env.HEAP_FILE, String(process.memoryUsage().heapUsed));
});`;

it(
  'memory stays flat over thousands of messages and many restarts',
  { timeout: 240_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'learnd-memory-'));
    const controller = new RestartingController();
    await controller.start();
    const lib = join(folder, 'spamd');
    await mkdir(join(lib, 'spam'), { recursive: true });
    await mkdir(join(lib, 'ham'));
    const heapFile = join(folder, 'heap');
    const daemon = await DaemonProcess.start({
      command: [
        process.execPath,
        '--expose-gc',
        '--import',
        `data:text/javascript,${encodeURIComponent(PROBE)}`,
        compiled('main.js'),
        'watch',
      ],
      settings: {
        KOPANO_SPAMD_LIB: lib,
        RSPAMD_URL: `http://127.0.0.1:${controller.port}`,
        STATUS_LISTEN: 'off',
        HEAP_FILE: heapFile,
      },
      searchPath: process.env['PATH'] ?? '',
      folder,
    });
    const heapMb = async (): Promise<number> => {
      await rm(heapFile, { force: true });
      daemon.signal('SIGUSR2');
      let text = '';
      await until('the heap is measured', 10_000, async () => {
        text = await readFile(heapFile, 'utf8').catch(() => '');
        return text !== '';
      });
      return Number(text) / 2 ** 20;
    };
    const learn = async (from: number, to: number): Promise<void> => {
      for (let seed = from; seed < to; seed += 1) {
        const message = makeMessage('ham', seed);
        const file = join(lib, 'ham', message.name);
        await writeFile(file, message.raw);
        await chmod(file, 0o660);
      }
      await until('all of them are learned', 200_000, async () => {
        const left = await Promise.all(
          ['ham', '.learnd/queue/ham'].map((place) => readdir(join(lib, place)).catch(() => [])),
        );
        return left.flat().length === 0;
      });
    };
    try {
      await learn(0, FIRST);
      const early = await heapMb();
      await learn(FIRST, ALL);
      const late = await heapMb();
      const resident = await residentMb(daemon.pid ?? 0);
      process.stdout.write(
        `heapUsed ${early.toFixed(2)} MB after ${FIRST}, ${late.toFixed(2)} MB after ${ALL} messages; ` +
          `peak RSS ${resident.toFixed(0)} MB\n`,
      );
      expect(late - early).toBeLessThan(2);
      expect(resident).toBeLessThan(120);
      expect(daemon.linesOf('controller.down').length).toBeGreaterThan(0);
      expect(daemon.linesOf('message.quarantined')).toEqual([]);
    } finally {
      await daemon.kill();
      controller.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
);
