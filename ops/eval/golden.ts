/** The committed golden data in `golden/`: what outside programs computed, with the scripts in `oracle/`. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { ChatMessage } from '../../worker/tokenizer/chat-template.ts';
import type { CompactDistributions, CompactTops } from './compact.ts';

const GOLDEN_FOLDER = path.join(import.meta.dirname, 'golden');

/** What every golden file says of its own making. */
interface Provenance {
  /** SHA-256 of the model file, lower-case hex. */
  readonly modelSha256: string;
}

/** `blns-tokens.json`: strings and the ids that llama.cpp gives them. */
export interface GoldenTokens extends Provenance {
  readonly cases: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

/** A token and its log-probability. */
export type GoldenCandidate = readonly [tokenId: number, logprob: number];

export interface GoldenChat {
  readonly name: string;
  readonly messages: readonly ChatMessage[];
  readonly promptText: string;
  readonly promptTokens: readonly number[];
  readonly answerTokens: readonly number[];
  /** llama.cpp's two likeliest of each step; null where it reports none (inside a character). */
  readonly top: readonly (readonly GoldenCandidate[] | null)[];
}

/** `chat-greedy.json`: conversations and llama.cpp's greedy answers. */
export interface GoldenChats extends Provenance {
  readonly cases: readonly GoldenChat[];
}

/** `chat-reference.json`: the float32 reference along those answers, case by case. */
export interface GoldenChatReference extends Provenance {
  readonly topK: number;
  readonly cases: readonly (CompactDistributions & { readonly name: string })[];
}

/** `text-reference.json`: the float32 reference over `text.txt`. Position `i` predicts token `i + 1` of its window. */
export interface GoldenText extends Provenance {
  readonly windowTokens: number;
  readonly topK: number;
  readonly windows: readonly (CompactDistributions & { readonly tokens: readonly number[] })[];
}

/** One prompt of `tiny-qwen2.json`: the likeliest tokens of both oracles along llama.cpp's answer. */
export interface GoldenTinyCase {
  readonly promptTokens: readonly number[];
  readonly answerTokens: readonly number[];
  readonly llama: CompactTops;
  readonly reference: CompactTops;
}

/** `tiny-qwen2.json`: a random-weight model that a test makes again. */
export interface GoldenTiny extends Provenance {
  readonly topK: number;
  /** Never chosen by llama.cpp here, since it reports no probabilities inside a character. */
  readonly bannedTokens: readonly number[];
  /** Root mean square difference between llama.cpp's log-probabilities and the reference's, in nats. */
  readonly llamaRmsDifference: number;
  readonly cases: readonly GoldenTinyCase[];
}

interface GoldenFiles {
  readonly 'blns-tokens.json': GoldenTokens;
  readonly 'chat-greedy.json': GoldenChats;
  readonly 'chat-reference.json': GoldenChatReference;
  readonly 'text-reference.json': GoldenText;
  readonly 'tiny-qwen2.json': GoldenTiny;
}

export async function readGolden<Name extends keyof GoldenFiles>(name: Name): Promise<GoldenFiles[Name]> {
  return JSON.parse(await readFile(path.join(GOLDEN_FOLDER, name), 'utf8')) as GoldenFiles[Name];
}

/** The text of the committed quality gate. */
export function readGoldenText(): Promise<string> {
  return readFile(path.join(GOLDEN_FOLDER, 'text.txt'), 'utf8');
}
