import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';

/** Debian's Chromium, without its window, and without what it would say to its makers. */

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executablePath = findProgram('chromium', process.env['PATH']);

export const hasChromium = executablePath !== undefined;

/** One browser for all tests of a file. */
export function withBrowser(): () => Browser {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (executablePath === undefined) return;
    browser = await chromium.launch({ executablePath, args: FLAGS });
  });
  afterAll(() => browser?.close());
  return () => {
    if (browser === undefined) throw new Error('there is no chromium');
    return browser;
  };
}

export interface Look {
  readonly width: number;
  readonly colorScheme: 'light' | 'dark';
}

export const LOOKS: readonly Look[] = [360, 800, 1_600].flatMap((width) => [
  { width, colorScheme: 'light' as const },
  { width, colorScheme: 'dark' as const },
]);

/** What a page shows, and what it did beside that. */
interface Seen {
  readonly page: Page;
  readonly noise: readonly string[];
}

/** Opens a page as somebody does whose browser runs no script. */
export async function see(browser: Browser, url: string): Promise<Seen> {
  const page = await browser.newPage({ javaScriptEnabled: false });
  const noise: string[] = [];
  page.on('console', (message) => noise.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => noise.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => noise.push(`dialog: ${dialog.message()}`));
  page.on('request', (request) => {
    if (request.url() !== url) noise.push(`request: ${request.url()}`);
  });
  await page.goto(url, { waitUntil: 'load' });
  return { page, noise };
}
