/** `docs/storage-schema.md` against every table that the sources create. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { newDatabase } from './support/node-sql.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

type Tables = Map<string, readonly string[]>;

/** Everything that is deployed. */
async function readSources(): Promise<string[]> {
  const sources: string[] = [];
  for (const folder of ['worker', 'shards']) {
    const files = await readdir(path.join(ROOT, folder), { recursive: true });
    for (const file of files.filter((name) => name.endsWith('.ts') && !name.includes('test'))) {
      sources.push(await readFile(path.join(ROOT, folder, file), 'utf8'));
    }
  }
  return sources;
}

/** Columns by the name of their table, as SQLite understands the statements in the sources. */
function tablesOf(sources: readonly string[]): Tables {
  const database = newDatabase();
  const statements = sources.flatMap((source) => [...source.matchAll(/`(CREATE TABLE IF NOT EXISTS [^`]*)`/g)]);
  statements.forEach(([, statement]) => database.exec(String(statement)));
  const names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  return new Map(
    names.map(({ name }) => {
      const columns = database.prepare(`PRAGMA table_info("${String(name)}")`).all();
      return [String(name), columns.map((column) => String(column['name']))] as const;
    }),
  );
}

/** The document in sections: heading and text. */
const sectionsOf = (text: string): { heading: string; body: string }[] =>
  text
    .split(/^#{2,3} /m)
    .slice(1)
    .map((section) => {
      const end = section.indexOf('\n');
      return { heading: section.slice(0, end), body: section.slice(end) };
    });

let sources: string[];
let code: Tables;
let sections: ReturnType<typeof sectionsOf>;
beforeAll(async () => {
  sources = await readSources();
  code = tablesOf(sources);
  sections = sectionsOf(await readFile(path.join(ROOT, 'docs', 'storage-schema.md'), 'utf8'));
});

describe('docs/storage-schema.md', () => {
  it('has every table with its columns, and no other', () => {
    const documented = sections.flatMap(({ heading, body }) => {
      const name = /^Table `(\w+)`$/.exec(heading)?.[1];
      const columns = [...body.matchAll(/^\| `(\w+)`/gm)].map(([, column]) => String(column));
      return name === undefined ? [] : [[name, columns] as const];
    });
    expect(code.size).toBeGreaterThan(2);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(code));
  });

  it('has no key that the code does not have', () => {
    const keys = sections.flatMap(({ heading }) => /^Key `([\w-]+)/.exec(heading)?.[1] ?? []);
    expect(keys.length).toBeGreaterThan(0);
    const missing = keys.filter(
      (key) => !sources.some((source) => source.includes(`'${key}'`) || source.includes(`'${key}/`)),
    );
    expect(missing).toEqual([]);
  });

  it('says of each table and key how large it gets and how long it is kept, and of each object whose it is', () => {
    for (const { heading, body } of sections) {
      const isObject = heading.startsWith('`');
      const required = isObject ? [/^- Owner: .+/m] : [/^- Bound: .+/m, /^- Kept: .+/m];
      required.forEach((line) => expect({ heading, body }).toMatchObject({ body: expect.stringMatching(line) }));
    }
  });
});
