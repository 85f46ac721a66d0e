import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { evaluate, type Answer } from '../metrics.ts';
import { confusionHeatMap, HEAT_MAP_LABELS_MAX, reliabilityDiagram } from '../plots.ts';
import { readExamples } from '../read-examples.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'lamina-classify-'));
afterAll(() => rmSync(folder, { recursive: true }));

const COLUMNS = { text: 'text', label: 'label' };

function file(name: string, content: string): string {
  const written = path.join(folder, name);
  writeFileSync(written, content);
  return written;
}

describe('readExamples', () => {
  it('reads CSV with quotes and a byte order mark, and JSON Lines', async () => {
    const csv = file('a.csv', '\uFEFFid,text,label\n1,"one, two",a\n2,three,\n');
    const expected = [
      { text: 'one, two', label: 'a' },
      { text: 'three', label: null },
    ];
    expect(await readExamples(csv, COLUMNS)).toEqual(expected);
    const jsonl = file('a.jsonl', '{"text":"one, two","label":"a"}\n\n{"text":"three"}\n');
    expect(await readExamples(jsonl, COLUMNS)).toEqual(expected);
  });

  it.each([
    ['b.csv', 'utterance,label\nx,y\n', "no column 'text'"],
    ['c.csv', 'text,label\nx\n', 'not valid CSV'],
    ['d.jsonl', '{"text":"x"}\nnothing\n', 'line 2'],
    ['e.txt', 'x', 'neither .csv nor .jsonl'],
  ])('says what is wrong with %s', async (name, content, message) => {
    await expect(readExamples(file(name, content), COLUMNS)).rejects.toThrow(message);
  });

  it('says that a file is not there', async () => {
    await expect(readExamples(path.join(folder, 'none.csv'), COLUMNS)).rejects.toThrow('cannot be read');
  });
});

describe('plots', () => {
  const answers = Array.from({ length: 60 }, (_, i): Answer => {
    const actual = `label <${i % 30}>`;
    return { actual, predicted: i % 7 === 0 ? 'label <1>' : actual, confidence: (i % 10) / 10, outOfScope: null };
  });

  it('draw the most confused labels, and no markup of theirs', () => {
    const svg = confusionHeatMap(answers, evaluate(answers));
    expect(svg).toContain(`${HEAT_MAP_LABELS_MAX} labels`);
    expect(svg).toContain('label &lt;1&gt;');
    expect(svg).not.toContain('label <');
  });

  it('draw a bar for each bin with answers', () => {
    const svg = reliabilityDiagram(evaluate(answers));
    expect(svg.match(/<rect/g)).toHaveLength(evaluate(answers).bins.filter(({ count }) => count > 0).length);
  });
});
