/** `docs/reliability-origins.md` has one section for each test that measures something of it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as prettier from 'prettier';
import { expect } from 'vitest';

const DOC = path.join(import.meta.dirname, '..', '..', '..', '..', 'docs', 'reliability-origins.md');

/**
 * Expects the section with this title to be as it was just measured. With `vitest -u` it is written in place of the old one.
 * @param body Markdown without headings.
 */
export async function expectDocSection(title: string, body: string): Promise<void> {
  const sections = (await readFile(DOC, 'utf8')).split(/^(?=## )/m);
  const index = sections.findIndex((section) => section.startsWith(`## ${title}\n`));
  expect(index, `docs/reliability-origins.md needs a section '## ${title}'`).toBeGreaterThan(0);
  sections[index] = `## ${title}\n\n${body}\n`;
  const config = await prettier.resolveConfig(DOC);
  await expect(await prettier.format(sections.join(''), { ...config, filepath: DOC })).toMatchFileSnapshot(DOC);
}
