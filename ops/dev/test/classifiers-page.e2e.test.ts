/** The page of classifiers in a real browser, against the platform with a tiny model. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser } from '../../testing/browser.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { writeTinyGguf } from '../../testing/tiny-model.ts';

const browserPath = findBrowser();

/** As many as features are made from. */
const NUM_LAYERS = 10;

const SUBJECTS = ['the card', 'my order', 'this bill', 'the parcel', 'our flight', 'a room'];
const EXAMPLES = SUBJECTS.flatMap((subject) => [
  `please cancel ${subject} zzz\tcancel`,
  `where is ${subject} www\twhere`,
  `<b>money back</b> for ${subject} qqq\trefund`,
]);
/** The same text under two labels. */
const CONTRADICTIONS = ['what about it\tcancel', 'what about it\twhere'];

describe.skipIf(browserPath === null)('the page of classifiers (needs Chromium: apt-get install chromium)', () => {
  let folder: string;
  let platform: PlatformProcess;
  let browser: Browser;
  let page: Page;
  let view: Locator;
  let tried: Locator;
  const problems: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lamina-classifiers-'));
    const modelFile = path.join(folder, 'tiny.gguf');
    await writeTinyGguf(modelFile, { shape: { numLayers: NUM_LAYERS } });
    const env = { LAMINA_HOME: path.join(folder, 'home'), LAMINA_MODEL_FILE: modelFile };
    platform = await startPlatformProcess({ env });
    browser = await launchBrowser(browserPath ?? '');
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(error.message));
    // What the content security policy stops is only said there.
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('dialog', (dialog) => void dialog.accept());
    view = page.locator('#view');
    tried = page.locator('#try');
    await page.goto(platform.url);
    await page.getByRole('link', { name: 'Classifiers' }).click();
  });

  afterAll(async () => {
    await browser?.close();
    await platform?.stop('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  const train = async (lines: readonly string[]) => {
    await page.locator('#examples').fill(lines.join('\n'));
    await page.getByRole('button', { name: 'Train', exact: true }).click();
  };

  const classify = async (texts: string) => {
    await page.locator('#texts').fill(texts);
    await page.locator('#texts').press('Control+Enter');
  };

  it('shows what the API says about examples that cannot be learnt from', async () => {
    await page.locator('#name').fill('support');
    await train(['one\tcancel', 'two\tcancel']);
    const failure = page.locator('#train [role="alert"]');
    await failure.filter({ hasText: "at least 2 different labels; the examples have: 'cancel'" }).waitFor();
    await train(['one\tcancel', 'two']);
    await failure.filter({ hasText: 'Line 2 has no Tab' }).waitFor();
    expect(problems).toEqual([expect.stringContaining('400')]);
    problems.length = 0;
  });

  it('trains on pasted lines, and shows the report', async () => {
    await train([...EXAMPLES, ...CONTRADICTIONS]);
    // Where the reader goes on, by keyboard and by ear.
    await page.locator('#view').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('view-heading');
    await view.locator('.figures').waitFor();
    expect(await view.locator('.figures').innerText()).toMatch(/Accuracy\s+\d+\.\d %/);
    expect(await view.locator('.warnings').innerText()).toMatch(/what about it.*stands under cancel and where/);
    expect(await view.locator('svg.reliability').getAttribute('aria-label')).toContain('expected calibration error');
    // Three labels, with a background and a colour for each pair of them.
    expect(await view.locator('svg.confusions rect').count()).toBe(3 * 3 * 2);
    expect(await page.locator('#list .choose[aria-current="true"]').innerText()).toMatch(
      /support\s+20 examples, accuracy/,
    );
  });

  it('classifies texts, explains them, and shows markup as text', async () => {
    await page.getByLabel('explain by words').check();
    await page.getByLabel('none when out of scope').uncheck();
    await classify('please cancel the boat zzz\n<b>money back</b> for the boat qqq');
    await tried.locator('.result').nth(1).waitFor();
    expect(await tried.locator('.verdict').allInnerTexts()).toEqual(['cancel', 'refund']);
    expect(await tried.locator('.result').first().locator('.scores .bar').count()).toBe(3);
    expect(await tried.locator('.result').nth(1).innerText()).toContain('<b>money');
    expect(await tried.locator('.result').first().locator('mark').count()).toBe(5);
  });

  it('asks again when the threshold is moved, and has the command for it', async () => {
    await tried.locator('[name="below"]').focus();
    await page.keyboard.press('End');
    await tried.getByText('No label: its best label is not likely enough').first().waitFor();
    await tried.locator('.terminal summary').click();
    const command = await tried.locator('code').innerText();
    expect(command).toContain(`curl '${platform.url}/v1/classify'`);
    expect(command).toMatch(/"classifier":"clf_\w+".*"abstain":\{"below":1\},"explain":true/);
  });

  it('judges by labels alone, and shows what the API says about too few of them', async () => {
    await tried.getByLabel('by labels alone').check();
    await tried.locator('[name="below"]').fill('0');
    await tried.locator('[name="labels"]').fill('cancel: to end an order\nwhere: to find a parcel');
    await classify('please cancel the boat');
    await tried.getByText('zero-shot').waitFor();
    expect(problems).toEqual([]);
    await tried.locator('[name="labels"]').fill('cancel');
    await classify('please cancel the boat');
    await tried.locator('[role="alert"]').filter({ hasText: 'labels' }).waitFor();
    expect(problems).toEqual([expect.stringContaining('400')]);
    problems.length = 0;
  });

  it('puts a file into the text field, and holds one that is larger', async () => {
    await page.getByRole('button', { name: 'New classifier' }).click();
    const editable = 'text,label\n'.padEnd(256 * 1024, 'x');
    const file = path.join(folder, 'large.csv');
    await writeFile(file, editable);
    await page.locator('#file').setInputFiles(file);
    await page.getByText('Read as CSV.').waitFor();
    expect((await page.locator('#examples').inputValue()).length).toBe(editable.length);
    await writeFile(file, `${editable}x`);
    await page.locator('#file').setInputFiles(file);
    await page.getByText('Read as large.csv, CSV.').waitFor();
    expect(await page.locator('#examples').isDisabled()).toBe(true);
    expect(await page.locator('#train code').textContent()).toContain('@examples.csv');
    await page.getByRole('button', { name: 'Remove the file' }).click();
    expect(await page.locator('#examples').isDisabled()).toBe(false);
  });

  it('takes a file, deletes classifiers, and explains a wrong key', async () => {
    await page.getByRole('button', { name: 'Delete support' }).click();
    await page.getByText('None yet.').waitFor();
    expect(await view.isVisible()).toBe(false);
    const file = path.join(folder, 'shop.csv');
    await writeFile(file, 'text,label\n"hello, you",greeting\nbye,parting\n');
    await page.locator('#name').fill('');
    await page.locator('#file').setInputFiles(file);
    await page.getByText('Read as CSV.').waitFor();
    expect(await page.locator('#name').inputValue()).toBe('shop');
    expect(problems).toEqual([]);
    await page.locator('#key').fill('sk-wrong');
    await page.getByRole('button', { name: 'Train', exact: true }).click();
    await page
      .locator('#train [role="alert"]')
      .filter({ hasText: /API key/i })
      .waitFor();
  });
});
