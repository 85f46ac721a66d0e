/** A headless browser for tests of pages. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

/** Where Linux distributions put Chromium or Chrome; `LAMINA_CHROMIUM` names another place. */
const BROWSER_PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Path of an installed browser, or null: tests of pages are then skipped, and say that a browser is missing. */
export function findBrowser(): string | null {
  const named = process.env['LAMINA_CHROMIUM'];
  return [...(named === undefined ? [] : [named]), ...BROWSER_PATHS].find((path) => existsSync(path)) ?? null;
}

/** Starts it without anything that would look for the network. */
export function launchBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
