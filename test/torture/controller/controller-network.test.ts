import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeCertificate } from '../../faults/certificate.ts';
import { describeReal, startServers } from '../../real/harness.ts';
import type { RealServers } from '../../real/harness.ts';
import { byLength } from '../../support/length.ts';
import { FaultProxy, ownLoopback } from './proxy.ts';
import { Stage } from './stage.ts';
import { NameServer, Wire } from './wire.ts';
import type { Naming } from './wire.ts';
import { needsMountNamespace } from '../../support/needs.ts';

/** Faults below HTTP, on the way to a real rspamd: TLS that must not be trusted, and names. */

let servers: RealServers;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'learnd-network-'));
  servers = await startServers();
});

afterAll(async () => {
  await servers[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const PATIENCE_MS = 240_000;

describeReal('a controller behind TLS', () => {
  it(
    'gets nothing while its certificate is wrong or its TLS broken, and all when it is right',
    { timeout: PATIENCE_MS },
    async () => {
      const target = servers.rspamd.controllerPort;
      await using wire = await Wire.start({ host: '127.0.0.1', port: target });
      const name = `IP:${wire.host}`;
      const certificates = {
        right: makeCertificate(name),
        'of another authority': makeCertificate(name),
        expired: makeCertificate(name, 'expired'),
        'for another name': makeCertificate('DNS:another.example'),
      };
      const trusted = (['right', 'expired', 'for another name'] as const).map(
        (which) => certificates[which].cert,
      );
      const authorities = join(folder, 'authorities.pem');
      writeFileSync(authorities, trusted.join(''));
      await using right = await FaultProxy.start({ target, tls: certificates.right });
      await using stage = await Stage.start(servers.rspamd, {
        RSPAMD_URL: `https://${wire.host}:${wire.port}`,
        RSPAMD_CA_FILE: authorities,
      });
      /** Everything fails while the wire leads there; nothing of the mail is sent. */
      const sitOut = async (end: FaultProxy | undefined, cutAfter: number): Promise<void> => {
        wire.end = right;
        wire.cutAfter = Infinity;
        await stage.warmUp();
        wire.end = end ?? { host: '127.0.0.1', port: target };
        wire.cutAfter = cutAfter;
        const seen = right.posts.length;
        const fleet = stage.launch();
        await stage.untilPaused(fleet);
        const connections = wire.connections;
        await stage.hurry('try again', () => wire.connections >= connections + 3);
        expect(right.posts.length).toBe(seen);
        if (end !== undefined && end !== right) expect(end.posts).toEqual([]);
        wire.end = right;
        wire.cutAfter = Infinity;
        await stage.untilEnded(fleet);
        await stage.expectLearned(fleet);
        stage.expectNobodyCharged(fleet);
        stage.expectFewLines(fleet, 6);
      };
      for (const which of ['of another authority', 'expired', 'for another name'] as const) {
        await using wrong = await FaultProxy.start({ target, tls: certificates[which] });
        await sitOut(wrong, Infinity);
      }
      await sitOut(undefined, Infinity);
      const cuts = byLength({ short: [3], middle: [0, 3, 200], long: [0, 1, 3, 5, 50, 100, 200] });
      for (const cutAfter of cuts) await sitOut(right, cutAfter);
      await stage.stop();
    },
  );
});

describeReal('a controller whose name', () => {
  const namings = byLength<readonly Naming[]>({
    short: ['never', 'late'],
    middle: ['never', 'late', 'garbage', 'fails'],
    long: ['never', 'late', 'garbage', 'fails', 'knows nothing', 'empty'],
  });
  it(
    'is answered late, wrongly or never is waited for: the daemon goes on picking up',
    { timeout: PATIENCE_MS, ...needsMountNamespace() },
    async () => {
      const host = ownLoopback();
      await using names = await NameServer.start(host);
      await using proxy = await FaultProxy.start({
        target: servers.rspamd.controllerPort,
        host,
      });
      const resolver = join(folder, 'resolv.conf');
      // the system would ask twice for five seconds each
      writeFileSync(resolver, `nameserver ${names.host}\noptions timeout:1 attempts:1\n`);
      const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
      await using stage = await Stage.start(
        servers.rspamd,
        { RSPAMD_URL: `http://rspamd.example:${proxy.port}`, RSPAMD_TIMEOUT_SECONDS: '3' },
        ['unshare', '--mount', 'sh', '-c', script, resolver],
      );
      for (const naming of namings) {
        names.naming = 'answers';
        await stage.warmUp();
        names.naming = naming;
        const { questions } = names;
        const fleet = stage.launch();
        await stage.daemon.until('ask for the name', () => names.questions > questions);
        expect(await stage.isHealthy()).toBe(true);
        await stage.daemon.until('pick all up', () => stage.spool.names('').length === 0);
        if (naming !== 'late') {
          await stage.untilPaused(fleet);
          expect(await stage.isHealthy()).toBe(true);
          names.naming = 'answers';
        }
        await stage.untilEnded(fleet);
        await stage.expectLearned(fleet);
        stage.expectNobodyCharged(fleet);
        stage.expectFewLines(fleet, 6);
      }
      // a stop does not wait for names
      names.naming = 'never';
      const { questions } = names;
      const fleet = stage.launch();
      await stage.daemon.until('ask for the name', () => names.questions > questions);
      await stage.stop();
      names.naming = 'answers';
      await stage.restart();
      const rest = { ...fleet, from: 0 };
      await stage.untilEnded(rest);
      await stage.expectLearned(rest);
      await stage.stop();
    },
  );
});
