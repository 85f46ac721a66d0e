/** What origins stream, read with care: an engine may leave out or add what it likes. */
import type { OriginEvent, OriginUsage } from '../../origin/origin-backend.ts';

export type OriginEvents = AsyncGenerator<OriginEvent, void, undefined>;

type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

export function indexOf(value: unknown): number {
  return Number.isSafeInteger(value) ? (value as number) : 0;
}

export function finishReasonOf(choice: Fields): string | null {
  const reason = choice['finish_reason'];
  return typeof reason === 'string' && reason !== '' ? reason : null;
}

/** Usage in OpenAI's names. An origin that does not count is counted by the pieces that came. */
export function usageToWire(usage: OriginUsage | null, completionTokens: number) {
  const counted = usage ?? { promptTokens: 0, completionTokens, cachedTokens: 0, reasoningTokens: 0 };
  return {
    prompt_tokens: counted.promptTokens,
    completion_tokens: counted.completionTokens,
    total_tokens: counted.promptTokens + counted.completionTokens,
    prompt_tokens_details: { cached_tokens: counted.cachedTokens },
    ...(counted.reasoningTokens > 0
      ? { completion_tokens_details: { reasoning_tokens: counted.reasoningTokens } }
      : {}),
  };
}
