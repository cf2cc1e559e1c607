import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { pageOf } from '../../src/evaluate/page/page.ts';
import { HOSTILE, THREE_CLASSES, bothFilters, busyStatus } from '../support/busy-status.ts';
import { LOOKS, hasChromium, see, withBrowser } from '../support/browser.ts';
import type { Look } from '../support/browser.ts';
import { needs } from '../support/needs.ts';
import { EVALUATION, NASTY } from '../support/sample-evaluation.ts';
import { StatusBench, wellTrainer } from '../support/status-bench.ts';
import { temporaryFolder } from '../support/temporary.ts';

/**
 * The pages in a real browser that runs no script. PICTURES=FOLDER keeps how they look there; docs.png is
 * for the documentation.
 */

const PICTURES = process.env['PICTURES'];
const INSPECT = readFileSync(new URL('inspect.js', import.meta.url), 'utf8');

const browser = withBrowser();

interface Inspection {
  readonly overflow: readonly string[];
  readonly faint: readonly string[];
  readonly texts: number;
  /** All that it shows. */
  readonly text: string;
}

async function picture(name: string, page: Page, { width, colorScheme }: Look): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  const path = join(PICTURES, `${name}-${width}-${colorScheme}.png`);
  await page.screenshot({ path, fullPage: true });
}

/** Looks at a page in all widths and colours. */
async function seeAll(name: string, url: string, check: (text: string) => void): Promise<void> {
  const { page, noise } = await see(browser(), url);
  for (const look of LOOKS) {
    const { width, colorScheme } = look;
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    await picture(name, page, look);
    const inspection = await page.evaluate<Inspection>(INSPECT);
    expect(inspection).toMatchObject({ overflow: [], faint: [] });
    expect(inspection.texts).toBeGreaterThan(20);
    check(inspection.text);
  }
  expect(noise).toEqual([]);
  await page.close();
}

describe('in a browser', needs('chromium', hasChromium), () => {
  test('the page of a daemon that works is readable, silent and asks for nothing', async () => {
    const url = `http://${(await busyStatus()).address}/`;
    await seeAll('page', url, (text) => {
      expect(text).toContain('It works');
      expect(text).toContain(HOSTILE);
      expect(text).not.toContain('secret');
    });
    if (PICTURES === undefined) return;
    const viewport = { width: 1_200, height: 1_075 };
    const page = await browser().newPage({ viewport, deviceScaleFactor: 0.7 });
    await page.goto(url);
    await page.screenshot({ path: join(PICTURES, 'docs.png') });
    await page.close();
  });

  test('so is that of one with another class, of both filters, and in trouble', async () => {
    await seeAll('classes', `http://${(await busyStatus(THREE_CLASSES)).address}/`, (text) => {
      expect(text).toContain('newsletter: 15 learned, 185 more for min_learns = 200');
    });
    const both = await busyStatus(bothFilters());
    both.diskFaults = [{ place: `/a/${HOSTILE}`, code: 'EACCES', says: 'permission denied' }];
    both.counts = { pending: 3, deferred: 1, inFlight: 0 };
    const refused = 'what answers there refuses the password';
    both.controller.misconfigured(
      {
        kind: 'misconfigured',
        reason: `401 ${refused}`,
        hint: 'set RSPAMD_PASSWORD',
        password: true,
      },
      true,
    );
    await seeAll('trouble', `http://${both.address}/`, (text) => {
      expect(text).toContain('It does not work as it should');
      expect(text).toContain('What to do: set RSPAMD_PASSWORD');
      expect(text).toContain(`/a/${HOSTILE}: permission denied`);
    });
  });

  test('so is that of one that has just started, and that stands by', async () => {
    const bench = await StatusBench.start({ trainers: [wellTrainer('http://one:11334')] });
    await seeAll('fresh', `http://${bench.address}/`, (text) => {
      expect(text).toContain('No message is in quarantine');
    });
    bench.counts = undefined;
    await seeAll('standby', `http://${bench.address}/`, (text) => {
      expect(text).toContain('It stands by');
    });
  });

  test('so is the page of evaluate', async () => {
    const file = join(temporaryFolder(), 'page.html');
    writeFileSync(file, pageOf(EVALUATION, '2026-03-14 09:30 UTC'));
    await seeAll('evaluate', pathToFileURL(file).href, (text) => {
      expect(text).toContain('The learning curve');
      expect(text).toContain(NASTY);
    });
  });
});

test('the picture in the documentation is small', () => {
  const { length } = readFileSync(new URL('../../docs/page.png', import.meta.url));
  expect(length).toBeLessThan(100_000);
});
