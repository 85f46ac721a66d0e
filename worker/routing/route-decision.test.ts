/** Who serves what, as a table: alias, capability, context length, availability and policy. */
import { describe, expect, it } from 'vitest';
import type { CanServe } from '../origin/origin-backend.ts';
import type { Capability, Need } from './capabilities.ts';
import { parseCatalog } from './catalog.ts';
import { decideRoute, type FallbackPolicy, type LearntObstacle, type RouteDecision } from './route-decision.ts';
import { PUBLIC_MODELS } from './tiers.ts';

const catalog = parseCatalog([
  {
    id: 'lamina-lite',
    tier: 'lite',
    aliases: PUBLIC_MODELS.lite.aliases,
    contextLengthMax: 8192,
    backend: { type: 'ring', model: 'm', headBindings: ['HEAD_0'], assetsPath: '/m' },
  },
  { id: 'lamina-std', tier: 'std', aliases: PUBLIC_MODELS.std.aliases, backend: { type: 'origins' } },
  { id: 'lamina-pro', tier: 'pro', aliases: PUBLIC_MODELS.pro.aliases, backend: { type: 'origins' } },
]);

/** Origins in one state: what they can do beside chat, their context, and whether they are up. */
interface Origins {
  readonly state: 'none' | 'up' | 'down' | 'full';
  readonly capabilities?: readonly Capability[];
  readonly contextLength?: number;
}

function canServe(origins: Origins) {
  return (model: string, needs: ReadonlySet<Capability>, numTokensAtLeast: number): CanServe => {
    const has = new Set<Capability>(['chat', ...(origins.capabilities ?? [])]);
    const missing = [...needs].find((need) => !has.has(need));
    const contextLength = origins.contextLength ?? 32_768;
    if (origins.state === 'none' || model !== 'lamina-pro') {
      return { ok: false, reason: 'not_configured' };
    }
    if (missing !== undefined) {
      return { ok: false, reason: 'capability', missing };
    }
    if (numTokensAtLeast > contextLength) {
      return { ok: false, reason: 'context_length', contextLength };
    }
    return origins.state === 'up'
      ? { ok: true }
      : { ok: false, reason: origins.state === 'down' ? 'unavailable' : 'overloaded', retryAfterMs: 1000 };
  };
}

const NONE: Origins = { state: 'none' };
const UP: Origins = { state: 'up' };
const TOOLS: Origins = { state: 'up', capabilities: ['tools', 'image_input'] };
const DOWN: Origins = { state: 'down', capabilities: ['tools'] };
const FULL: Origins = { state: 'full' };

interface Row {
  readonly model: string;
  readonly origins: Origins;
  readonly policy?: FallbackPolicy;
  readonly needs?: readonly Capability[];
  readonly tokens?: number;
  /** Entry → reason that was found out by trying. */
  readonly learnt?: Readonly<Record<string, LearntObstacle['reason']>>;
  /** `entry`, `entry <- reason`, or `refused: reason`. */
  readonly expected: string;
}

const ROWS: readonly Row[] = [
  // The model that was asked for, by its name or another one.
  { model: 'lamina-lite', origins: NONE, expected: 'lamina-lite' },
  { model: 'chatglm_lite', origins: UP, expected: 'lamina-lite' },
  { model: 'lamina-pro', origins: UP, expected: 'lamina-pro' },
  { model: 'chatglm_pro', origins: UP, expected: 'lamina-pro' },
  { model: 'lamina-pro', origins: TOOLS, needs: ['tools'], expected: 'lamina-pro' },
  // Backends that are not there, down or full.
  { model: 'lamina-pro', origins: NONE, expected: 'refused: not_configured' },
  { model: 'chatglm_std', origins: UP, expected: 'refused: not_configured' },
  { model: 'lamina-pro', origins: DOWN, expected: 'refused: unavailable' },
  { model: 'lamina-pro', origins: FULL, expected: 'refused: overloaded' },
  { model: 'lamina-pro', origins: NONE, policy: 'lite', expected: 'lamina-lite <- not_configured' },
  { model: 'chatglm_std', origins: UP, policy: 'lite', expected: 'lamina-lite <- not_configured' },
  { model: 'chatglm_std', origins: UP, policy: 'pro', expected: 'lamina-pro <- not_configured' },
  { model: 'lamina-pro', origins: DOWN, policy: 'lite', expected: 'lamina-lite <- unavailable' },
  { model: 'lamina-pro', origins: FULL, policy: 'lite', expected: 'lamina-lite <- overloaded' },
  // A fallback must be able to serve; otherwise the first obstacle is told.
  { model: 'lamina-pro', origins: DOWN, policy: 'lite', needs: ['tools'], expected: 'refused: unavailable' },
  { model: 'lamina-pro', origins: DOWN, policy: 'lite', tokens: 9000, expected: 'refused: unavailable' },
  { model: 'lamina-lite', origins: UP, policy: 'pro', needs: ['tools'], expected: 'refused: capability:tools' },
  // What the ring cannot do.
  { model: 'lamina-lite', origins: TOOLS, needs: ['tools'], expected: 'refused: capability:tools' },
  { model: 'lamina-lite', origins: TOOLS, policy: 'lite', needs: ['tools'], expected: 'refused: capability:tools' },
  { model: 'lamina-lite', origins: TOOLS, policy: 'pro', needs: ['tools'], expected: 'lamina-pro <- capability:tools' },
  {
    model: 'lamina-lite',
    origins: TOOLS,
    policy: 'pro',
    needs: ['image_input'],
    expected: 'lamina-pro <- capability:image_input',
  },
  { model: 'lamina-lite', origins: UP, tokens: 8192, policy: 'pro', expected: 'lamina-lite' },
  { model: 'lamina-lite', origins: UP, tokens: 8193, expected: 'refused: context_length' },
  { model: 'lamina-lite', origins: UP, tokens: 8193, policy: 'pro', expected: 'lamina-pro <- context_length' },
  { model: 'lamina-lite', origins: UP, tokens: 40_000, policy: 'pro', expected: 'refused: context_length' },
  { model: 'lamina-pro', origins: UP, tokens: 40_000, expected: 'refused: context_length' },
  // What an origin cannot do, and the ring not either.
  { model: 'lamina-pro', origins: UP, needs: ['embeddings'], expected: 'refused: capability:embeddings' },
  // Found out by trying.
  { model: 'lamina-lite', origins: UP, learnt: { 'lamina-lite': 'overloaded' }, expected: 'refused: overloaded' },
  {
    model: 'lamina-lite',
    origins: UP,
    policy: 'pro',
    learnt: { 'lamina-lite': 'overloaded' },
    expected: 'lamina-pro <- overloaded',
  },
  {
    model: 'lamina-lite',
    origins: NONE,
    policy: 'pro',
    learnt: { 'lamina-lite': 'failed' },
    expected: 'refused: failed',
  },
  {
    model: 'lamina-pro',
    origins: UP,
    policy: 'lite',
    learnt: { 'lamina-pro': 'failed' },
    expected: 'lamina-lite <- failed',
  },
  {
    model: 'lamina-pro',
    origins: UP,
    policy: 'lite',
    learnt: { 'lamina-pro': 'failed', 'lamina-lite': 'overloaded' },
    expected: 'refused: failed',
  },
];

function decide(row: Row): RouteDecision {
  const { policy = 'none', needs = [], learnt = {} } = row;
  const asked = catalog.find(row.model);
  if (asked === undefined) {
    throw new Error(`the table names ${row.model}`);
  }
  return decideRoute({
    asked,
    fallback: catalog.entries.find(({ tier }) => tier === policy),
    needs: ['chat', ...needs].map((capability) => ({ capability, param: null }) as Need),
    numTokensAtLeast: row.tokens ?? 1,
    originsCanServe: canServe(row.origins),
    learnt: new Map(Object.entries(learnt).map(([id, reason]) => [id, { reason, error: new Error(reason) }])),
  });
}

describe('decideRoute', () => {
  it.each(ROWS.map((row) => [JSON.stringify({ ...row, expected: undefined }), row] as const))('%s', (_name, row) => {
    const decision = decide(row);
    const obstacle = decision.type === 'refuse' ? decision.obstacle : null;
    const told =
      decision.type === 'serve'
        ? [decision.entry.id, decision.fallbackReason].filter((part) => part !== null).join(' <- ')
        : `refused: ${obstacle?.reason}${obstacle !== null && 'missing' in obstacle ? `:${obstacle.missing}` : ''}`;
    expect(told).toBe(row.expected);
  });
});
