/** The public models: names, tiers and prices, the same on every platform. What serves them is the catalogue's business. */

/** In the order of size: lite runs in the platform, pro on GPU origins. */
export const TIERS = ['lite', 'std', 'pro'] as const;

export type Tier = (typeof TIERS)[number];

export interface PublicModel {
  /** Name, as clients write it. */
  readonly id: string;
  readonly tier: Tier;
  /** Names that clients of the ChatGLM platform know the tier by. */
  readonly aliases: readonly string[];
  /** Price of 1000 tokens, read or written, in CNY. */
  readonly cnyPer1000Tokens: number;
}

export const PUBLIC_MODELS: Readonly<Record<Tier, PublicModel>> = {
  lite: { id: 'lamina-lite', tier: 'lite', aliases: ['chatglm_lite'], cnyPer1000Tokens: 0.002 },
  std: { id: 'lamina-std', tier: 'std', aliases: ['chatglm_std'], cnyPer1000Tokens: 0.005 },
  pro: { id: 'lamina-pro', tier: 'pro', aliases: ['chatglm_pro'], cnyPer1000Tokens: 0.01 },
};

/** Costs are kept to the billionth: a single token of the cheapest tier is two millionths of a CNY. */
const CNY_STEPS = 1e9;

export function costCny(tier: Tier, numTokens: number): number {
  return Math.round((numTokens * PUBLIC_MODELS[tier].cnyPer1000Tokens * CNY_STEPS) / 1000) / CNY_STEPS;
}
