import { createHash } from 'node:crypto';
import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { pageOf } from '../../src/status/page/page.ts';
import { status } from '../../src/status/command.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { stateOf } from '../../src/status/words.ts';
import { HOSTILE, THREE_CLASSES, bothFilters, busyStatus } from '../support/busy-status.ts';
import { activeParts } from '../support/document.ts';
import type { Part } from '../support/document.ts';
import { StatusBench, WELL, deliveryOf, wellTrainer } from '../support/status-bench.ts';
import { put } from '../support/test-spool.ts';

function read(html: string): Part {
  return (parseHTML(html) as unknown as { readonly document: Part }).document;
}

async function pageAt(bench: StatusBench): Promise<Part> {
  const { status, type, text } = await bench.get('/');
  expect({ status, type }).toEqual({ status: 200, type: 'text/html; charset=utf-8' });
  return read(text);
}

function textsOf(part: Part, selector: string): string[] {
  return [...part.querySelectorAll(selector)].map(({ textContent }) => textContent);
}

/** The rows of a table, by the first cell of each. */
function rowsOf(part: Part, caption: RegExp): Record<string, string[]> {
  const table = [...part.querySelectorAll('table')].find((each) =>
    caption.test(each.querySelector('caption')?.textContent ?? ''),
  );
  if (table === undefined) throw new Error(`there is no table ${String(caption)}`);
  return Object.fromEntries(
    [...table.querySelectorAll('tbody tr')].map((row) => {
      const [name = '', ...cells] = textsOf(row, 'th, td');
      return [name, cells];
    }),
  );
}

describe('the page', () => {
  test('may load its own style and nothing else, and says so to the browser', async () => {
    const bench = await busyStatus();
    const response = await fetch(`http://${bench.address}/`);
    const html = await response.text();
    const style = /<style>([^]*?)<\/style>/.exec(html)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-security-policy': `default-src 'none'; style-src 'sha256-${hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
    expect(html.match(/<style/g)).toHaveLength(1);
    const json = await fetch(`http://${bench.address}/status`);
    expect(json.headers.get('content-security-policy')).toMatch(/^default-src 'none'; frame-/);
  });

  test('holds no script, nothing to be fetched and no style of a single part', async () => {
    const document = await pageAt(await busyStatus(bothFilters()));
    expect(activeParts(document, /^on|href$|^src|^style$/)).toEqual([]);
  });

  test('is one document, in which every part is closed', async () => {
    const { text } = await (await busyStatus(THREE_CLASSES)).get('/');
    const EMPTY = /^(meta|br|!doctype)$/;
    const open: string[] = [];
    for (const [, slash, name = '', own] of text.matchAll(/<(\/?)([!a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
      if (slash === '/') expect(open.pop()).toBe(name);
      else if (own !== '/' && !EMPTY.test(name)) open.push(name);
    }
    expect(open).toEqual([]);
    const document = read(text);
    expect(textsOf(document, 'title, h1')).toEqual(['It works: kopano-learnd', 'It works']);
    expect(textsOf(document, 'h2').length).toBeGreaterThan(4);
  });

  test('shows whatever comes from outside as text, without what paints or reorders it', async () => {
    const report = await reportOf(await busyStatus());
    const nasty = `\u202e${HOSTILE}\u0007`;
    const [controller] = report.controllers;
    if (controller === undefined) throw new Error('there is no controller');
    const html = pageOf(
      {
        ...report,
        spool: nasty,
        faults: [{ place: nasty, code: 'EIO', says: nasty }],
        readiness: { ready: false, reasons: [nasty] },
        controllers: [{ ...controller, name: nasty, obstacle: nasty, cure: nasty }],
      },
      {
        messages: [{ name: nasty, reason: nasty, since: nasty }],
        isMore: true,
        fault: undefined,
      },
      0,
    );
    const document = read(html);
    expect([...document.querySelectorAll('img')]).toEqual([]);
    const body = document.querySelector('body')?.textContent ?? '';
    expect(body.split(`?${HOSTILE}?`)).toHaveLength(10);
    expect(html).not.toContain('\u202e');
    expect(html).not.toContain('\u0007');
  });
});

function reportOf(bench: StatusBench): Promise<DaemonReport> {
  return bench.json('/status') as Promise<unknown> as Promise<DaemonReport>;
}

describe('what it says', () => {
  test('is what /status, status --json and /metrics say', async () => {
    const bench = await busyStatus(bothFilters());
    bench.messages.ended(deliveryOf('e', 'ham'), { kind: 'refused', reason: 'x' }, 20);
    bench.counts = { pending: 1, deferred: 4, inFlight: 2 };
    const document = await pageAt(bench);
    const report = await reportOf(bench);
    let printed = '';
    await status({
      config: loadConfig({
        KOPANO_SPAMD_LIB: bench.spool.lib,
        STATUS_LISTEN: bench.address,
      }),
      json: true,
      columns: 80,
      out: (text) => (printed += text),
      stop: new AbortController().signal,
    });
    const overview = JSON.parse(printed) as { daemon: { report: DaemonReport } };
    expect(overview).toMatchObject({ daemon: { report } });
    const metrics = (await bench.get('/metrics')).text;

    const now = bench.clock.wall();
    expect(document.querySelector('h1 + p')?.textContent).toBe(stateOf(report, now));
    for (const { trainer, messages } of report.trainers) {
      const rows = rowsOf(document, trainer === 'rspamd' ? /^rspamd, since/ : /^SpamA.*, since/);
      for (const [verdict, column] of [
        ['spam', 0],
        ['ham', 1],
      ] as const) {
        for (const [outcome, count] of Object.entries(messages[verdict])) {
          expect(rows[outcome]?.[column]).toBe(`${count}`);
          const labels = `trainer="${trainer}",verdict="${verdict}",outcome="${outcome}"`;
          expect(metrics).toContain(`kopano_learnd_messages_total{${labels}} ${count}\n`);
        }
      }
    }
    expect(rowsOf(document, /In the folders; 4 deferred, 2 in flight/)).toEqual({
      dropped: ['1', '0'],
      queued: ['0', '1'],
      quarantined: ['1', '1'],
      released: ['0', '0'],
    });
    expect(metrics).toContain('kopano_learnd_quarantined 2\n');
    const at = now / 1_000;
    expect(metrics).toContain(`kopano_learnd_last_arrival_timestamp_seconds ${at}\n`);
    expect(metrics).toContain(`kopano_learnd_last_proof_timestamp_seconds ${at}\n`);
    expect(report.history).toMatchObject({
      lastInAt: new Date(now).toISOString(),
      lastProofAt: new Date(now).toISOString(),
    });
    expect(metrics).toContain('kopano_learnd_bayes_learned{class="ham"} 230\n');
    expect(textsOf(document, '.bars p')).toEqual([
      'spam: 150 learned, 50 more for min_learns = 200',
      'ham: 230 learned, enough for min_learns = 200',
    ]);
  });

  test.each([7, 30, 90])(
    'of %d days is the sum of the history, by day and as bars',
    async (count) => {
      const bench = await busyStatus(THREE_CLASSES);
      const { history } = await reportOf(bench);
      const figures = [...(await pageAt(bench)).querySelectorAll('figure')];
      const figure = figures.find((each) => textsOf(each, 'h3').join() === `${count} days`);
      if (figure === undefined || history === null) throw new Error('it is missing');
      const days = [...new Set(history.days.map(({ day }) => day))].slice(-count);
      expect(days).toHaveLength(count);
      const sum = (kind: 'learned' | 'refused' | 'turned', verdict: string, day?: string): string =>
        `${history.days
          .filter((each) => each.verdict === verdict)
          .filter((each) => (day === undefined ? days.includes(each.day) : each.day === day))
          .reduce((total, each) => total + each[kind], 0)}`;
      const cells = (day?: string): string[] =>
        (['learned', 'refused', 'turned'] as const).flatMap((kind) =>
          ['spam', 'ham', 'newsletter'].map((verdict) => sum(kind, verdict, day)),
        );
      const rows = rowsOf(figure, /by day/);
      expect(rows['together']).toEqual(cells());
      for (const day of days) expect(rows[day]).toEqual(cells(day));
      const bars = [...figure.querySelectorAll('rect[fill]')].map((bar) =>
        bar.getAttribute('fill'),
      );
      const wanted = days.flatMap((day) => cells(day)).filter((each) => each !== '0').length;
      expect(bars.filter((fill) => fill !== 'var(--line)')).toHaveLength(wanted);
      expect(new Set(bars)).toContain('var(--further-1)');
    },
  );

  test('of Bayes names the class that is short, and what to do', async () => {
    const text = (await pageAt(await busyStatus())).querySelector('.pair')?.textContent ?? '';
    expect(text).toMatch(/113 ham are missing, and users hardly bring them/);
    expect(text).toMatch(/relearn --ham PATH/);
    expect(text).toMatch(/autolearn = true;/);
    const enough = wellTrainer('http://one', { ...WELL, learned: { spam: 200, ham: 201 } });
    const bench = await StatusBench.start({ trainers: [enough] });
    const well = (await pageAt(bench)).querySelector('.pair')?.textContent;
    expect(well).toMatch(/It judges: 200 of each class are enough/);
  });

  test('of a controller is its reason and its cure, and of days without judgements nothing', async () => {
    const bench = await StatusBench.start();
    expect(Object.keys(rowsOf(await pageAt(bench), /by day/))).toEqual(['together']);
    bench.counts = { pending: 1, deferred: 0, inFlight: 0 };
    const failure = { reason: 'connection refused', hint: 'start it', answered: false };
    bench.controller.failed({ ...failure, wasProbe: true });
    const document = await pageAt(bench);
    expect(textsOf(document, 'h1')).toEqual(['It does not work as it should']);
    expect(textsOf(document, 'dd')).toEqual([
      'down: connection refused',
      'nothing proven since the start',
      'What to do: start it',
    ]);
  });

  test('of the quarantine is why and since when, of fifty messages at most, and nothing of them', async () => {
    const bench = await StatusBench.start();
    for (let index = 0; index < 60; index += 1) {
      const place = bench.spool.statePath(`quarantine/ham/${index}.eml`);
      put(place, 'Subject: secret');
      const reason = { reason: `why ${index}`, quarantinedAt: new Date(0).toISOString() };
      put(`${place}.json`, JSON.stringify(reason));
    }
    put(bench.spool.statePath('quarantine/spam/torn.eml'), 'x');
    put(bench.spool.statePath('quarantine/spam/torn.eml.json'), '{"reas');
    const document = await pageAt(bench);
    const text = document.querySelector('body')?.textContent ?? '';
    expect(text).not.toContain('secret');
    expect(text).toContain('And more.');
    expect(text).toContain('spam/torn.eml');
    expect(text).toMatch(/since 19(69|70)-\d\d-\d\d \d\d:\d\d: why \d+/);
    expect(textsOf(document, 'dt')).toHaveLength(1 + 50);
  });

  test('of another daemon’s spool is nothing', async () => {
    const bench = await busyStatus();
    bench.counts = undefined;
    const document = await pageAt(bench);
    expect(textsOf(document, 'h1')).toEqual(['It stands by']);
    expect([...document.querySelectorAll('figure')]).toEqual([]);
    expect(document.querySelector('body')?.textContent).not.toContain('kopano-4711');
  });
});
