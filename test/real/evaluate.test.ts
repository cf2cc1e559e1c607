import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Evaluation } from '../../src/evaluate/evaluation.ts';
import { findProgram } from '../../src/servers/programs.ts';
import { processes } from '../../src/servers/server-process.ts';
import type { BaseVerdict as Verdict } from '../../src/verdict.ts';
import { otherVerdict } from '../../src/evaluate/collection.ts';
import { makeMessage, makeMessages, tooShortMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { corpusIn, mail, mboxOf } from '../support/relearn-sources.ts';
import { MOUNTS, ROOT, TIME } from '../support/needs.ts';
import { call } from '../support/run-cli.ts';
import type { Watching } from '../support/run-cli.ts';
import { asOneself, program } from '../support/run.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { until } from '../support/until.ts';
import { describeReal, startServers } from './harness.ts';

/** A site whose Bayes speaks early: few messages make a whole story. */
const MIN_LEARNS = 20;

/** A message as its user judged it, which may be wrong. */
interface Judged {
  readonly verdict: Verdict;
  readonly message: MadeMessage;
}

/** Messages of both classes by turns, each a minute after the last; every tenth is misjudged. */
function judgedMessages(count: number): readonly Judged[] {
  return Array.from({ length: count }, (_, minute) => {
    const kind = minute % 2 === 0 ? 'spam' : 'ham';
    const verdict = minute % 10 === 7 ? otherVerdict(kind) : kind;
    return { verdict, message: makeMessage(kind, minute) };
  });
}

/** A folder of an archive's form. */
function archiveOf(judged: readonly Judged[]): string {
  const messages = judged.map(({ verdict, message }) => ({ ...message, verdict }));
  return corpusIn(temporaryFolder(), messages);
}

/** A search path whose first `name` is this script. */
function pathWith(name: string, script: string): string {
  const folder = temporaryFolder();
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return `${folder}:${process.env['PATH'] ?? ''}`;
}

/** The site's configuration, as `rspamadm configdump --json classifier` prints it. */
function siteWith(bayes: object): string {
  const printed = JSON.stringify({ bayes });
  return pathWith('rspamadm', `cat <<'END'\n${printed}\nEND`);
}

async function evaluate(args: readonly string[], path?: string, watching?: Watching) {
  const PATH = path ?? process.env['PATH'] ?? '';
  return call(['evaluate', '--quiet', ...args], { PATH }, watching);
}

async function evaluation(args: readonly string[], path?: string): Promise<Evaluation> {
  const { code, out, err } = await evaluate(['--json', ...args], path);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as Evaluation;
}

/** What a plain loop of posts finds, a hundred messages at a time. */
async function plainLoop(judged: readonly Judged[]) {
  await using servers = await startServers({ rspamd: { bayes: { min_learns: MIN_LEARNS } } });
  const { rspamd, redis } = servers;
  const learn = (verdict: Verdict, raw: Buffer) =>
    rspamd.post(`/learn${verdict}`, raw, { 'Learn-Type': 'bulk' });
  for (const { raw } of makeMessages('spam', 50, 1_000_000)) await learn('spam', raw);
  await redis.command('FLUSHALL');
  const empty = () => ({ judged: 0, spam: 0, ham: 0, nothing: 0 });
  const points: Record<Verdict, ReturnType<typeof empty>>[] = [];
  for (const [at, { verdict, message }] of judged.entries()) {
    if (at % 100 === 0) points.push({ spam: empty(), ham: empty() });
    const said = await rspamd.bayesOpinion(message.raw);
    expect((await learn(verdict, message.raw)).status).toBe(200);
    const ofClass = points.at(-1)?.[verdict] ?? empty();
    ofClass.judged += 1;
    ofClass[said.verdict === 'none' ? 'nothing' : said.verdict] += 1;
  }
  return points;
}

describeReal('evaluate', () => {
  test('finds in time order exactly what a plain loop of posts finds', TIME, async () => {
    const judged = judgedMessages(300);
    const { timeOrder, messages } = await evaluation(
      [archiveOf(judged)],
      siteWith({ min_learns: MIN_LEARNS }),
    );
    expect(timeOrder.curve.map(({ said }) => said)).toEqual(await plainLoop(judged));
    expect(timeOrder.orderedBy).toEqual({ archive: 0, received: 0, date: 300, file: 0 });
    expect(messages).toMatchObject({ read: 300, spam: 180, ham: 120 });
    expect(timeOrder.all.said.spam.nothing).toBeLessThan(60);
  });

  test('disputes the judgements that are wrong, and names them for relearn', async () => {
    const judged = judgedMessages(200);
    const archive = archiveOf(judged);
    const list = join(temporaryFolder(), 'disputed');
    const { crossValidation, disputed, relearn, filter } = await evaluation([
      ...[archive, '--out', list, '--folds', '4'],
    ]);
    const wrong = judged.filter((_, minute) => minute % 10 === 7);
    const paths = wrong.map(({ verdict, message }) => join(archive, verdict, message.name));
    expect(readFileSync(list, 'utf8').trimEnd().split('\n').sort()).toEqual(paths.sort());
    expect(disputed.messages[0]?.contradiction).toBeGreaterThan(0.9);
    expect(disputed.byVerdict).toEqual({ spam: 20, ham: 0 });
    expect(relearn).toEqual([
      `cat ${list} | sed 's/^/--ham=/' | xargs -d '\\n' kopano-learnd relearn`,
    ]);
    // 4 folds of 200 messages teach less than 200 of each class.
    expect([filter.settings.min_learns, crossValidation.minLearns]).toEqual([200, 1]);
    expect(crossValidation.said).toEqual({
      spam: { judged: 120, spam: 100, ham: 20, nothing: 0 },
      ham: { judged: 80, spam: 0, ham: 80, nothing: 0 },
    });
  });

  test(
    'counts beside the judged what is too short, a copy, or no mail, and all adds up',
    TIME,
    async () => {
      const judged = judgedMessages(60);
      const archive = archiveOf(judged);
      const [first] = judged;
      writeFileSync(join(archive, 'spam/short'), tooShortMessage().raw);
      writeFileSync(join(archive, 'spam/copy'), first?.message.raw ?? '');
      // Judged otherwise, a copy says something new.
      writeFileSync(join(archive, 'ham/turned'), first?.message.raw ?? '');
      writeFileSync(join(archive, 'ham/notes'), 'no mail\n');
      const { messages, timeOrder, crossValidation } = await evaluation([archive]);
      const { duplicates, short, failed, notMail } = messages.beside;
      expect([messages.read, duplicates, short, failed, notMail]).toEqual([63, 1, 1, 0, 1]);
      for (const { spam, ham } of [timeOrder.all.said, crossValidation.said]) {
        expect(spam.judged + ham.judged).toBe(61);
        for (const each of [spam, ham]) {
          expect(each.spam + each.ham + each.nothing).toBe(each.judged);
        }
      }
    },
  );

  test('comes to the same folds and opinions for the same seed', TIME, async () => {
    const archive = archiveOf(judgedMessages(80));
    const judgedBy = async (...flags: readonly string[]) => {
      const { crossValidation, disputed } = await evaluation([archive, ...flags]);
      return { said: crossValidation.said, of: disputed.messages };
    };
    const first = await judgedBy('--seed', '7');
    expect(await judgedBy('--seed', '7')).toEqual(first);
  });
});

describeReal('evaluate refuses', () => {
  test('too few messages for the folds, by their number and class', async () => {
    const judged = judgedMessages(16);
    const { code, out, err } = await evaluate([archiveOf(judged)]);
    expect([code, out]).toEqual([64, '']);
    expect(err).toMatch(/only 9 spam to judge, and 5 folds need at least 10 .*\ncure: .*--folds/);
  });

  test('to start where the servers are missing, naming the packages', async () => {
    const { code, err } = await evaluate([archiveOf([])], '/nowhere');
    expect(code).toBe(78);
    expect(err).toMatch(
      /rspamd and redis-server can't be found[^]*docker exec[^]*install rspamd redis/,
    );
  });

  test('an rspamd that does not start, with its words, and leaves nothing', async () => {
    const path = pathWith('rspamd', 'echo "cannot bind to the moon" >&2; exit 1');
    const { code, out, err } = await evaluate([archiveOf(judgedMessages(30))], path);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/the private rspamd doesn't start:[^]*cannot bind to the moon/);
    const isLeft = (name: string): boolean => name.startsWith('kopano-learnd-evaluate-');
    expect(readdirSync(tmpdir()).filter(isLeft)).toEqual([]);
    expect(processesOf(join(tmpdir(), 'kopano-learnd-evaluate-'))).toEqual([]);
  });

  test('an rspamd that does not start again for the folds, with its words', async () => {
    const once = join(temporaryFolder(), 'once');
    const rspamd = findProgram('rspamd', process.env['PATH']) ?? '';
    const start = `mkdir ${once} 2>/dev/null && exec ${rspamd} "$@"`;
    chmodSync(join(once, '..'), 0o777);
    const path = pathWith('rspamd', `${start}\necho "cannot bind to the moon" >&2; exit 1`);
    const { code, out, err } = await evaluate([archiveOf(judgedMessages(30))], path);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/the private rspamd doesn't start:[^]*cannot bind to the moon/);
  });

  test('a TMPDIR of root alone, which the servers could not enter', ROOT, async () => {
    const [outer, inner] = [temporaryFolder(), 'below/it'];
    mkdirSync(join(outer, inner), { recursive: true });
    chmodSync(join(outer, 'below'), 0o700);
    const { ended, err } = started([archiveOf(judgedMessages(30))], join(outer, inner));
    expect(await ended).toBe(1);
    expect(err()).toMatch(/may not enter \S+\/below, the way to .*\ncure: set TMPDIR/);
    expect(readdirSync(join(outer, inner))).toEqual([]);
  });

  test('a list that can not be written, before any work', async () => {
    const { code, err } = await evaluate([archiveOf([]), '--out', '/nowhere/list']);
    expect(code).toBe(1);
    expect(err).toContain("/nowhere/list can't be written (ENOENT)");
  });

  test('one file for the list and the page', async () => {
    const path = join(temporaryFolder(), 'both');
    const { code, err } = await evaluate([archiveOf([]), '--out', path, '--html', path]);
    expect([code, err]).toEqual([64, expect.stringContaining('is named by --out and by --html')]);
  });
});

/** The program in a process of its own, with a temporary folder of its own. */
function started(args: readonly string[], folder = temporaryFolder()) {
  const child = spawn(process.execPath, [program(), ...asOneself(), 'evaluate', ...args], {
    env: { PATH: process.env['PATH'], TMPDIR: folder },
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = once(child, 'close').then(([code]: (number | null)[]) => code);
  return { child, folder, ended, err: () => err };
}

/** Processes that work in a folder, by whatever name they go, and whose they are. */
function processesOf(folder: string) {
  return processes().flatMap(({ pid, commandLine }) => {
    try {
      if (!readlinkSync(`/proc/${pid}/cwd`).includes(folder)) return [];
      return [{ commandLine, uid: statSync(`/proc/${pid}`).uid }];
    } catch {
      return []; // it has just ended
    }
  });
}

/** Where a server listens, as its title says. */
function addressOf(folder: string, name: string): string {
  const [server] = processesOf(folder).filter(({ commandLine }) => commandLine.includes(name));
  return /[\d.]+:\d+/.exec(server?.commandLine ?? '')?.[0] ?? '';
}

describeReal('evaluate that is ended', () => {
  const archive = () => archiveOf(judgedMessages(400));

  test('by Ctrl-C leaves neither server nor folder nor list', async () => {
    const list = join(temporaryFolder(), 'list');
    const { child, folder, ended, err } = started([archive(), '--out', list]);
    const runs = (name: string): boolean =>
      processesOf(folder).some(({ commandLine }) => commandLine.startsWith(name));
    await until('rspamd runs', () => runs('rspamd: controller'));
    // Strangers' mail is nothing to read as root.
    expect(processesOf(folder).filter(({ uid }) => uid === 0)).toEqual([]);
    // And nobody else on this machine may ask of it, or change what was learned.
    const { status } = await fetch(`http://${addressOf(folder, 'rspamd: controller')}/stat`);
    expect(status).toBe(401);
    const [host = '', port = ''] = addressOf(folder, 'redis').split(':');
    const socket = connect(Number(port), host).end('KEYS *\r\n');
    expect(await text(socket)).toMatch(/^-NOAUTH /);
    child.kill('SIGINT');
    expect(await ended).toBe(75);
    expect(err()).toContain('evaluate was interrupted');
    expect(processesOf(folder)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(join(list, '..'))).toEqual([]);
  });

  test('by Ctrl-C while standard input says nothing ends all the same', async () => {
    const { child, ended } = started(['--spam', '-', '--ham', archive()]);
    // More than a pipe holds: then it is being read.
    child.stdin.on('error', () => undefined).write(mboxOf(Array<string>(5_000).fill(mail('one'))));
    await once(child.stdin, 'drain');
    child.kill('SIGINT');
    expect(await ended).toBe(75);
  });

  test('by two signals at once, as timeout sends them, leaves nothing either', TIME, async () => {
    const list = join(temporaryFolder(), 'list');
    const { child, folder, ended } = started([archive(), '--out', list]);
    await until('a server runs', () => processesOf(folder).length > 0);
    child.kill('SIGTERM');
    // Two of them that wait to be delivered are one.
    await sleep(30);
    child.kill('SIGTERM');
    // On a busy machine both are one all the same.
    expect([1, 75]).toContain(await ended);
    await until('all have ended', () => processesOf(folder).length === 0);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(join(list, '..'))).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGTERM'] as const)(
    'by %s at any moment leaves no process, and no mail on the disk',
    TIME,
    async (signal) => {
      const source = archive();
      for (const afterMs of [150, 300, 450, 600, 900, 1_300, 2_000, 4_000]) {
        const { child, folder, ended } = started([source]);
        await sleep(afterMs);
        child.kill(signal);
        await ended;
        await until('all have ended', () => processesOf(folder).length === 0);
        const left = readdirSync(folder, { recursive: true, encoding: 'utf8' });
        expect(left.filter((name) => name.endsWith('messages'))).toEqual([]);
        if (signal === 'SIGTERM') expect(left).toEqual([]);
      }
    },
  );

  test('by a full disk in the end still tells what it found', MOUNTS, async () => {
    const disk = temporaryFolder();
    mountTmpfs(disk, 'size=4k');
    const page = join(disk, 'page');
    const { code, out, err } = await evaluate([archiveOf(judgedMessages(60)), '--html', page]);
    expect([code, out, err]).toEqual([
      1,
      expect.stringMatching(/^60 messages: [^]*Cross-validation [^]*Disputed: /),
      expect.stringContaining(`${page} can't be written (ENOSPC)`),
    ]);
    expect(readdirSync(disk)).toEqual([]);
  });

  test('by a full disk names it, and writes no half list', MOUNTS, async () => {
    const disk = temporaryFolder();
    mountTmpfs(disk, 'size=64k');
    const { ended, err } = started([archive(), '--out', join(disk, 'list')], disk);
    expect([await ended, err()]).toEqual([
      1,
      expect.stringMatching(/can't be written to .* \(ENOSPC\)\ncure: set TMPDIR/),
    ]);
    expect(existsSync(join(disk, 'list'))).toBe(false);
    expect(readdirSync(disk)).toEqual([]);
  });
});
