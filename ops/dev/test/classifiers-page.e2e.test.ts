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
    await page.locator('#train [name="examples"]').fill(lines.join('\n'));
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

  it('adds examples, and shows the line that is wrong', async () => {
    await view.getByText('Add examples').click();
    const examples = view.locator('[name="examples"]');
    await examples.fill('text,label\n"good day zzz",greeting\n,greeting\n');
    await view.getByRole('button', { name: 'Add only' }).click();
    await view.locator('#add [role="alert"]').filter({ hasText: 'line 3: the text is empty' }).waitFor();
    expect(await examples.getAttribute('aria-invalid')).toBe('true');
    expect(await page.evaluate(() => getSelection()?.toString())).toBe(',greeting');
    expect(problems).toEqual([expect.stringContaining('400')]);
    problems.length = 0;
    await examples.fill(SUBJECTS.map((subject) => `good day to ${subject} kkk\tgreeting`).join('\n'));
    expect(await examples.getAttribute('aria-invalid')).toBeNull();
    await view.getByRole('button', { name: 'Add only' }).click();
    await view.getByText('6 examples added.').waitFor();
    await view.getByText('6 examples are newer than the latest version').waitFor();
    expect(await examples.inputValue()).toBe('');
  });

  it('trains again, with the progress in sight, and has both versions side by side', async () => {
    await view.getByRole('button', { name: 'Train again' }).click();
    await view.getByText('2, the latest').waitFor();
    await view.getByText('Version 2, measured').waitFor();
    const rows = view.locator('.versions tbody tr');
    expect(await rows.allInnerTexts()).toEqual([
      expect.stringMatching(/2, the latest\s+\d+\.\d %\s+26\s+4\s/),
      expect.stringMatching(/1\s+\d+\.\d %\s+20\s+3\s/),
    ]);
    expect(await view.locator('progress').isVisible()).toBe(false);
    expect(await view.locator('.pending').innerText()).toBe('');
  });

  it('tries and reports the version that is chosen, by keyboard, and keeps it in the address', async () => {
    const hello = 'good day to the boat kkk';
    await page.getByLabel('none when out of scope').uncheck();
    await tried.locator('[name="below"]').fill('0');
    await page.getByLabel('explain by words').uncheck();
    const verdict = async () => {
      await classify(hello);
      const result = tried.locator('.result').filter({ hasText: hello });
      await result.waitFor();
      return result.locator('.verdict').innerText();
    };
    expect(await verdict()).toBe('greeting');
    await view.getByLabel('2, the latest').focus();
    await page.keyboard.press('ArrowDown');
    await view.getByText('Version 1, measured').waitFor();
    expect(await page.evaluate(() => (document.activeElement as HTMLInputElement).value)).toBe('1');
    await tried.getByText('by version 1 of the chosen classifier').waitFor();
    expect(await verdict()).not.toBe('greeting');
    await page.reload();
    await view.getByText('Version 1, measured').waitFor();
    expect(await view.locator('[value="1"]').isChecked()).toBe(true);
    await view.locator('[value="2"]').check();
    await view.getByText('Version 2, measured').waitFor();
    expect(problems).toEqual([]);
  });

  it('exports a version, and imports it as another classifier', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      view.getByRole('button', { name: 'Export' }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^clf_\w+-v2\.safetensors$/);
    const file = path.join(folder, 'exported.safetensors');
    await download.saveAs(file);
    await page.getByRole('button', { name: 'New classifier' }).click();
    await page.getByText('Import a classifier').click();
    const form = page.locator('#import');
    await writeFile(path.join(folder, 'none.safetensors'), 'not a classifier');
    await form.locator('[name="file"]').setInputFiles(path.join(folder, 'none.safetensors'));
    await form.getByRole('button', { name: 'Import' }).click();
    await form.locator('[role="alert"]').filter({ hasText: 'The file is not a classifier' }).waitFor();
    expect(problems).toEqual([expect.stringContaining('400')]);
    problems.length = 0;
    await form.locator('[name="name"]').fill('twin');
    await form.locator('[name="file"]').setInputFiles(file);
    await form.getByRole('button', { name: 'Import' }).click();
    await view.getByText('Version 1 was imported').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('view-heading');
    expect(await page.locator('#view-heading').innerText()).toBe('twin');
    await classify('where is the boat www');
    await tried.getByText('where', { exact: true }).first().waitFor();
  });

  it('deletes only when that is confirmed, and gives the focus back', async () => {
    const remove = view.getByRole('button', { name: 'Delete …' });
    const dialog = page.getByRole('dialog', { name: 'Delete this classifier?' });
    await remove.click();
    await dialog.getByText('Delete “twin”').waitFor();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Keep it');
    await page.keyboard.press('Escape');
    expect(await dialog.isVisible()).toBe(false);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Delete …');
    expect(await page.locator('#list .choose').count()).toBe(2);
    await remove.click();
    await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.locator('#list .choose').nth(1).waitFor({ state: 'detached' });
    expect(await view.isVisible()).toBe(false);
    expect(problems).toEqual([]);
    await page.locator('#list .choose').click();
    await view.getByText('Version 2, measured').waitFor();
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
    await page.locator('#train [name="file"]').setInputFiles(file);
    await page.getByText('Read as CSV.').waitFor();
    expect((await page.locator('#train [name="examples"]').inputValue()).length).toBe(editable.length);
    await writeFile(file, `${editable}x`);
    await page.locator('#train [name="file"]').setInputFiles(file);
    await page.getByText('Read as large.csv, CSV.').waitFor();
    expect(await page.locator('#train [name="examples"]').isDisabled()).toBe(true);
    expect(await page.locator('#train code').textContent()).toContain('@examples.csv');
    await page.getByRole('button', { name: 'Remove the file' }).click();
    expect(await page.locator('#train [name="examples"]').isDisabled()).toBe(false);
  });

  it('takes a file, fills in an example, and explains a wrong key', async () => {
    const file = path.join(folder, 'shop.csv');
    await writeFile(file, 'text,label\n"hello, you",greeting\nbye,parting\n');
    await page.locator('#name').fill('');
    await page.locator('#train [name="file"]').setInputFiles(file);
    await page.getByText('Read as CSV.').waitFor();
    expect(await page.locator('#name').inputValue()).toBe('shop');
    await page.getByRole('button', { name: 'Fill in an example' }).click();
    expect(await page.locator('#train [name="examples"]').inputValue()).toMatch(
      /^text,label\n"I want my money back",refund\n/,
    );
    expect(problems).toEqual([]);
    await page.locator('#key').fill('sk-wrong');
    await page.getByRole('button', { name: 'Train', exact: true }).click();
    await page
      .locator('#train [role="alert"]')
      .filter({ hasText: /API key/i })
      .waitFor();
    expect(await page.locator('#train [aria-invalid]').count()).toBe(0);
    // What the other key has is not shown any longer.
    await page.goBack();
    await page.locator('#key').fill('sk-local');
    await page.locator('#key').press('Enter');
    await view.locator('.figures').waitFor();
    await page.locator('#key').fill('sk-wrong');
    await page.locator('#key').press('Enter');
    await view
      .locator('.view-failure')
      .filter({ hasText: /API key/i })
      .waitFor();
    expect(await view.locator('.figures').count()).toBe(0);
    expect(await view.locator('.about').innerText()).toBe('');
  });

  it.each(['light', 'dark'] as const)('fits on a narrow screen, %s', async (colorScheme) => {
    const narrow = await browser.newPage({ colorScheme, viewport: { width: 360, height: 700 } });
    await narrow.goto(`${platform.url}/classifiers`);
    await narrow.locator('#list .choose').click();
    await narrow.locator('.figures').waitFor();
    expect(await narrow.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await narrow.close();
  });
});
