/** What a check found. */
import type { EngineKind } from '../describe-origin.ts';
import type { OriginClient } from './origin-client.ts';

export type CheckResult =
  | { readonly outcome: 'pass'; readonly detail: string }
  /** `advice` says what to do. */
  | { readonly outcome: 'fail'; readonly detail: string; readonly advice: string }
  /** The engine has no such thing, or the check was not asked for: `detail` says which, and how to have it. */
  | { readonly outcome: 'not applicable'; readonly detail: string };

export interface CheckContext {
  readonly client: OriginClient;
  readonly engine: EngineKind;
  /** Tokens of one sequence; null when the engine does not say. */
  readonly contextLength: number | null;
  /** Requests that are sent at once to see the bound of the queue; 0 when no bound is to be seen. */
  readonly burst: number;
  /** Shell command that makes the origin drain; null when it must not. */
  readonly drainCommand: string | null;
}

export interface Check {
  readonly name: string;
  readonly run: (context: CheckContext) => Promise<CheckResult>;
}

export const pass = (detail: string): CheckResult => ({ outcome: 'pass', detail });
export const fail = (detail: string, advice: string): CheckResult => ({ outcome: 'fail', detail, advice });
export const notApplicable = (detail: string): CheckResult => ({ outcome: 'not applicable', detail });

const TEXT_CHARS_MAX = 200;

/** An answer that was not the expected one, for a `detail`. */
export function describeAnswer({ status, text }: { readonly status: number; readonly text: string }): string {
  return `HTTP ${status} ${text.slice(0, TEXT_CHARS_MAX).trim()}`.trim();
}
