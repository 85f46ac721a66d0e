/** Two tenants with the same prompts on one platform, and what is left in its files when one of them is deleted. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tenantKey } from '../../../shards/kv/page-key.ts';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { createKeyring } from '../../../worker/auth/keyring.ts';
import { homeLayout } from '../../support/home.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { writeTinyGguf } from '../../testing/tiny-model.ts';

const KEYS = { gone: 'sk-local', other: 'sk-other' } as const;
type Who = keyof typeof KEYS;

let folder: string;
let platform: PlatformProcess;
let start: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-tenants-'));
  const modelFile = path.join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile);
  const env = { LAMINA_HOME: path.join(folder, 'home'), LAMINA_MODEL_FILE: modelFile, API_KEYS: KEYS.other };
  start = async () => {
    platform = await startPlatformProcess({ env, args: ['--stages', '2'] });
  };
  await start();
});
afterAll(async () => {
  await platform?.stop('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

async function call(who: Who, method: string, route: string, body?: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${platform.url}${route}`, {
    method,
    headers: { authorization: `Bearer ${KEYS[who]}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as never };
}

interface Answer {
  readonly usage: {
    readonly prompt_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
}

const SYSTEM = { role: 'system', content: 'You sell shoes, boots and sandals of all sizes. '.repeat(6) };
const CHAT = { model: 'lamina-lite', messages: [SYSTEM, { role: 'user', content: 'Boots?' }], max_tokens: 4 };

async function cachedTokens(who: Who, key: string): Promise<number> {
  const { body } = await call(who, 'POST', '/v1/chat/completions', CHAT, { 'idempotency-key': key });
  return (body as Answer).usage.prompt_tokens_details.cached_tokens;
}

/** What all databases of the platform hold: the rows of each table, and everything as one text. */
async function stored(): Promise<{ numRows: Record<string, number>; text: string }> {
  const { state } = homeLayout(path.join(folder, 'home'));
  const files = (await readdir(state, { recursive: true })).filter((file) => file.endsWith('.sqlite'));
  const numRows: Record<string, number> = {};
  let text = '';
  for (const file of files) {
    const database = new DatabaseSync(path.join(state, file));
    for (const { name } of database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all()) {
      const statement = database.prepare(`SELECT * FROM "${String(name)}"`);
      // Alarms are kept in nanoseconds.
      statement.setReadBigInts(true);
      const rows = statement.all();
      numRows[String(name)] = (numRows[String(name)] ?? 0) + rows.length;
      const decoder = new TextDecoder('latin1');
      const columnText = (value: unknown): string =>
        value instanceof Uint8Array ? decoder.decode(value) : String(value);
      text += rows.map((row) => Object.values(row).map(columnText).join(' ')).join('\n');
    }
    database.close();
  }
  return { numRows, text };
}

async function namesOf(who: Who): Promise<{ tenant: string; pages: string }> {
  const tenant = await createKeyring('local', [KEYS.other]).authenticate(`Bearer ${KEYS[who]}`);
  const name = tenant.ok ? tenant.value : '';
  return { tenant: name, pages: tenantKey(name) };
}

describe('two tenants', () => {
  it('share no page, and one can be deleted to the last row', async () => {
    let numShared = 0;
    for (const who of ['gone', 'other'] as const) {
      const { body } = await call(who, 'POST', '/v1/prefixes', { model: CHAT.model, messages: [SYSTEM] });
      const { num_tokens: numTokens, cached_tokens: numCached } = body as Record<
        'num_tokens' | 'cached_tokens',
        number
      >;
      // The other one's pages are of no use, though the tokens are the same.
      expect(numCached).toBeLessThan(PAGE_SIZE_TOKENS);
      numShared = Math.floor(numTokens / PAGE_SIZE_TOKENS) * PAGE_SIZE_TOKENS;
      expect(await cachedTokens(who, 'first')).toBeGreaterThanOrEqual(numShared);
    }
    expect(numShared).toBeGreaterThan(6 * PAGE_SIZE_TOKENS);
    const deleted = await call('gone', 'DELETE', '/v1/tenant');
    expect(deleted).toEqual({
      status: 200,
      body: { object: 'tenant', deleted: true, counts: { runs: 1, classifiers: 0, prefixes: 1, pages: null } },
    });
    expect(await cachedTokens('other', 'second')).toBeGreaterThanOrEqual(numShared);
    // Pages outlive the runtime, however it ends.
    await platform.stop('SIGKILL');
    await start();
    expect(await cachedTokens('other', 'third')).toBeGreaterThanOrEqual(numShared);
    // All that the platform's own first chat has in common with it is the beginning of a message.
    expect(await cachedTokens('gone', 'again')).toBeLessThan(PAGE_SIZE_TOKENS);
    expect((await call('gone', 'DELETE', '/v1/tenant')).status).toBe(200);
    await platform.stop();
    const { numRows, text } = await stored();
    expect(numRows).toMatchObject({ run: 3, prefix: 1 });
    const [gone, other] = [await namesOf('gone'), await namesOf('other')];
    expect(text.includes(other.tenant)).toBe(true);
    expect(text.includes(other.pages)).toBe(true);
    expect(text.includes(gone.tenant)).toBe(false);
    expect(text.includes(gone.pages)).toBe(false);
  });
});
