/** The playground in a real browser, against the platform with the default model. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser } from '../../testing/browser.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';

const browserPath = findBrowser();

// Without a browser there is nothing to see; CI installs one.
describe.skipIf(browserPath === null)('the playground (needs Chromium: apt-get install chromium)', () => {
  let home: TestHome;
  let platform: PlatformProcess;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    home = await createTestHome();
    platform = await startPlatformProcess({ args: ['--home', home.path] });
    browser = await launchBrowser(browserPath ?? '');
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('response', (response) => {
      if (response.status() >= 400) {
        problems.push(`${response.status()} ${response.url()}`);
      }
    });
    await page.goto(platform.url);
  });

  afterAll(async () => {
    await browser?.close();
    await platform?.stop();
    await home?.remove();
  });

  it('lists the model and fills in the local key', async () => {
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    expect(await page.locator('#model').inputValue()).toBe('lamina-lite');
    expect(await page.locator('#key').inputValue()).toBe('sk-local');
  });

  it('streams an answer, and shows markup as text', async () => {
    await page.locator('#max-tokens').fill('24');
    await page.locator('#prompt').fill('Say something about <b>bread</b>.');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>('#stop')?.disabled === true);
    const log = await page.locator('#log').innerText();
    expect(log).toContain('<b>bread</b>');
    expect(log.length).toBeGreaterThan('Say something about <b>bread</b>.'.length + 40);
    expect(await page.locator('#log b').count()).toBe(0);
  });

  it('stops an answer, and goes on with the same conversation', async () => {
    await page.locator('#max-tokens').fill('2000');
    await page.locator('#prompt').fill('Write a very long story.');
    await page.locator('#send').click();
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>('#stop')?.disabled === false);
    await page.locator('#stop').click();
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>('#stop')?.disabled === true);
    await page.locator('#max-tokens').fill('8');
    await page.locator('#prompt').fill('Thank you.');
    await page.locator('#send').click();
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>('#stop')?.disabled === true);
    expect(await page.locator('#log').innerText()).toContain('Thank you.');
  });

  it('explains a wrong key', async () => {
    expect(problems).toEqual([]);
    await page.locator('#key').fill('sk-wrong');
    await page.locator('#prompt').fill('Hello');
    await page.locator('#send').click();
    await page
      .getByText(/key/i)
      .filter({ hasText: /not|incorrect|invalid|wrong/i })
      .first()
      .waitFor();
    expect(problems).toContain(`401 ${platform.url}/v1/chat/completions`);
    expect(problems.every((problem) => problem.startsWith('401 '))).toBe(true);
  });
});
