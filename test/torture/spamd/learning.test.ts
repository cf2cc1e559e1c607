import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PrivateSpamd } from '../../lab/private-spamd.ts';
import { TaughtMessages } from '../../../src/spool/taught.ts';
import { identityOf } from '../../../src/trainers/spamassassin/identity.ts';
import { makeMessage } from '../../lab/messages.ts';
import { taughtFolders } from '../../support/taught-folders.ts';
import { until } from '../../support/until.ts';
import { NEVER, example, prove, trainerAt } from '../../trainers/spamassassin/connect.ts';
import { describeReal, startSpamd } from '../../trainers/spamassassin/real-spamd.ts';

const [SPAM, HAM] = [makeMessage('spam', 1).raw, makeMessage('ham', 1).raw];

/** One newsletter, as kopano-spamd writes it anew each time. */
function newsletter(boundary: string, id = 'first', to = 'all@news.example'): Buffer {
  const lines = [
    'From: editor@news.example',
    `To: ${to}`,
    'Date: Mon, 08 Jan 2024 08:00:00 +0000',
    'Subject: news',
    `Message-ID: <${id}@news.example>`,
    'MIME-Version: 1.0',
    `Content-Type: multipart/alternative; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain',
    '',
    'The harbour committee met on Thursday and argued about the price of rope.',
    `--${boundary}--`,
    '',
  ];
  return Buffer.from(lines.join('\n'));
}

function taughtOnDisk(): TaughtMessages {
  const { folder, temporary } = taughtFolders();
  return new TaughtMessages({ folder, temporary, identityOf, wall: () => Date.now() });
}

describeReal('spamd', () => {
  let spamd: PrivateSpamd;

  beforeAll(async () => {
    spamd = await startSpamd({ children: 2, config: ['bayes_ignore_from *@ignored.example'] });
  });
  beforeEach(() => spamd.clear());
  afterAll(() => spamd[Symbol.asyncDispose]());

  const counts = async (): Promise<string> => {
    const { spam, ham } = await spamd.counts();
    return `${spam} spam, ${ham} ham`;
  };

  test('learns, knows, turns and knows again; each counted once', async () => {
    const trainer = trainerAt(spamd);
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await prove(trainer, example('ham', HAM))).toEqual(['learned', 'duplicate']);
    expect(await counts()).toBe('1 spam, 1 ham');
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['duplicate']);
    expect(await prove(trainer, example('ham', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await counts()).toBe('0 spam, 2 ham');
    // A process that has forgotten what it taught.
    expect(await prove(trainerAt(spamd), example('ham', SPAM))).toEqual(['duplicate']);
    expect(await counts()).toBe('0 spam, 2 ham');
  });

  test('is left as it was by a canary, to the last token', async () => {
    const trainer = trainerAt(spamd);
    await prove(trainer, example('spam', SPAM));
    const before = await spamd.counts();
    expect(await trainer.diagnose(NEVER)).toEqual({ kind: 'works' });
    expect(await spamd.counts()).toEqual(before);
    expect([before.spam, before.ham, before.tokens > 20]).toEqual([1, 0, true]);
  });

  test('learns whatever a message is, byte for byte, and knows it', async () => {
    const trainer = trainerAt(spamd);
    const odd = [
      'To: a@b.example\n\nand no line break at the end',
      '',
      '\n\njust some words without a header\n',
      Buffer.from([10, 10, 0, 255, 254, 0, 128, 13, 10]),
      'To: a@b.example\r\nSubject: c\r\n\r\nlines\r\nlines\r\n',
      `To: a@b.example\n\n${'long '.repeat(60_000)}`,
    ];
    for (const body of odd) {
      expect(await prove(trainer, example('spam', body))).toEqual(['learned', 'duplicate']);
      // In bytes that came from elsewhere.
      expect(await prove(trainer, example('spam', body))).toEqual(['duplicate']);
    }
    expect(await counts()).toBe(`${odd.length} spam, 0 ham`);
  });

  test('refuses what bayes_ignore_from names, and counts nothing', async () => {
    const body = Buffer.from(SPAM.toString().replace(/^From: .*$/m, 'From: a@ignored.example'));
    const outcome = await trainerAt(spamd).learn(example('spam', body), NEVER);
    expect(outcome).toMatchObject({ kind: 'refused' });
    expect(await counts()).toBe('0 spam, 0 ham');
  });

  test('knows two newsletters of one To, Date and body as one', async () => {
    const trainer = trainerAt(spamd);
    await prove(trainer, example('spam', newsletter('b', 'first'), 'a.eml'));
    const second = example('spam', newsletter('b', 'second'), 'b.eml');
    expect(await prove(trainer, second)).toEqual(['duplicate']);
    expect(await counts()).toBe('1 spam, 0 ham');
    const third = example('spam', newsletter('b', 'third', 'one@news.example'), 'c.eml');
    expect(await prove(trainer, third)).toEqual(['learned', 'duplicate']);
    expect(await counts()).toBe('2 spam, 0 ham');
  });

  test('forgets the earlier verdict of a message that was written anew, if its bytes are kept', async () => {
    const taught = taughtOnDisk();
    for (const [round, verdict] of (['spam', 'ham', 'spam'] as const).entries()) {
      // Each in a process of its own.
      const trainer = trainerAt(spamd, { taught });
      const message = example(verdict, newsletter(`boundary-${round}`));
      expect(await prove(trainer, message)).toEqual(['learned', 'duplicate']);
      expect(await counts()).toBe(verdict === 'spam' ? '1 spam, 0 ham' : '0 spam, 1 ham');
    }
  });

  test('leaves to another user what his copy of the same message was taught since', async () => {
    const taught = taughtOnDisk();
    const teach = (...message: Parameters<typeof example>) =>
      prove(trainerAt(spamd, { taught }), example(...message));
    await teach('spam', newsletter('one'), 'a.eml');
    await teach('ham', newsletter('one'), 'b.eml');
    expect(await counts()).toBe('0 spam, 1 ham');
    // The first one's is written anew.
    await teach('ham', newsletter('two'), 'a.eml');
    expect(await counts()).toBe('0 spam, 2 ham');
    await teach('spam', newsletter('three'), 'b.eml');
    expect(await counts()).toBe('1 spam, 1 ham');
    await teach('spam', newsletter('four'), 'a.eml');
    expect(await counts()).toBe('2 spam, 0 ham');
  });

  test('goes on counting the earlier verdict of such a message where they are not', async () => {
    const trainer = trainerAt(spamd);
    await prove(trainer, example('spam', newsletter('one')));
    await prove(trainer, example('ham', newsletter('two')));
    expect(await counts()).toBe('1 spam, 1 ham');
  });

  test('carries out what was given up, and the later verdict waits for that', async () => {
    const trainer = trainerAt(spamd, { timeoutMs: 2_000 });
    await prove(trainer, example('spam', HAM, 'other.eml'));
    spamd.freeze();
    const first = await trainer.learn(example('spam', SPAM), NEVER);
    expect(first).toMatchObject({ kind: 'deferred', answered: false });
    expect(await trainer.learn(example('ham', SPAM), NEVER)).toMatchObject({ kind: 'held' });
    spamd.resume();
    await until('it is turned', async () => {
      return (await prove(trainer, example('ham', SPAM))).join() === 'learned,duplicate';
    });
    expect(await counts()).toBe('1 spam, 1 ham');
  });

  test('is down while it is stopped, and checked when it is back', async () => {
    const trainer = trainerAt(spamd);
    await prove(trainer, example('spam', SPAM));
    await spamd.stop();
    const outcome = await trainer.learn(example('ham', HAM), NEVER);
    expect(outcome).toMatchObject({ kind: 'unavailable', contact: 'refused' });
    await spamd.start();
    expect(await prove(trainer, example('ham', HAM))).toEqual(['learned', 'duplicate']);
    expect(await counts()).toBe('1 spam, 1 ham');
  });

  test('whose child is killed over a message closes without an answer, and has another child', async () => {
    const trainer = trainerAt(spamd);
    await prove(trainer, example('ham', HAM));
    const connections = (): number => spamd.log.split('connection from').length;
    const before = connections();
    // Reading it takes a second, before Bayes is locked.
    const large = example(
      'spam',
      Buffer.alloc(8_000_000, 'Many words and a line of them\n'),
      'b.eml',
    );
    const learning = trainer.learn(large, NEVER);
    await until('a child has it', () => connections() > before);
    for (const pid of spamd.children()) process.kill(pid, 'SIGKILL');
    expect(await learning).toMatchObject({ kind: 'deferred', answered: false });
    expect(await prove(trainer, example('spam', SPAM))).toEqual(['learned', 'duplicate']);
    expect(await counts()).toBe('1 spam, 1 ham');
  });
});
