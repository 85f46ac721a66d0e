/**
 * How well labels alone, and a few examples, do on a running platform, beside the usual way: asking the same model for the
 * label in a chat.
 */
import { classify, type ClassifyServer, type LabelOption, TEXTS_PER_REQUEST } from '../classify/classify-client.ts';
import { type Answer, evaluate, type Evaluation } from '../classify/metrics.ts';
import type { FileExample } from '../classify/read-examples.ts';
import { type ChatServer, type ChatSettings, streamChat } from '../cli/chat/chat-client.ts';
import type { Step } from '../support/progress.ts';

export interface LabelledText {
  readonly text: string;
  readonly label: string;
}

/** Pairs of texts and labels in one request, as many as the platform takes. */
const PAIRS_PER_REQUEST = 4096;

/** Every n-th of the examples that have a label, so that all labels of a sorted file are there. */
export function sampleOf(examples: readonly FileExample[], count: number): LabelledText[] {
  const labelled = examples.flatMap(({ text, label }) => (label === null ? [] : [{ text, label }]));
  const every = Math.max(1, Math.floor(labelled.length / count));
  return labelled.filter((_, index) => index % every === 0).slice(0, count);
}

/** @param shots examples of each label, from the first of `training` on */
export async function evaluateLabels(
  server: ClassifyServer,
  texts: readonly LabelledText[],
  training: readonly FileExample[],
  shots: number,
  step: Step,
): Promise<Evaluation> {
  const names = [...new Set(texts.map(({ label }) => label))].sort();
  const labels = names.map((name): LabelOption => ({
    name,
    examples: training
      .filter(({ label }) => label === name)
      .slice(0, shots)
      .map(({ text }) => text),
  }));
  const perRequest = Math.min(TEXTS_PER_REQUEST, Math.floor(PAIRS_PER_REQUEST / names.length));
  const answers: Answer[] = [];
  step.total(texts.length, 'items');
  for (let start = 0; start < texts.length; start += perRequest) {
    const part = texts.slice(start, start + perRequest);
    const results = await classify(
      server,
      { labels },
      part.map(({ text }) => text),
    );
    results.forEach(({ scores }, index) => {
      const { label: predicted = '', score: confidence = 0 } = scores[0] ?? {};
      answers.push({ actual: part[index]?.label ?? null, predicted, confidence, outOfScope: null });
    });
    step.update(answers.length);
  }
  return evaluate(answers);
}

/** Accuracy of asking for the label in a chat: an answer counts when it names the right label and no other. */
export async function chatAccuracy(
  server: ChatServer,
  settings: ChatSettings,
  texts: readonly LabelledText[],
  step: Step,
): Promise<number> {
  const names = [...new Set(texts.map(({ label }) => label))].sort();
  const plain = (text: string): string => text.replaceAll('_', ' ').toLowerCase();
  let numRight = 0;
  step.total(texts.length, 'items');
  for (const [index, { text, label }] of texts.entries()) {
    const content =
      `Classify the text into one of these categories: ${names.map(plain).join(', ')}.\n\n` +
      `Text: ${text}\n\nAnswer with the category alone.`;
    let answer = '';
    for await (const event of streamChat(server, settings, [{ role: 'user', content }], new AbortController().signal)) {
      answer += event.type === 'text' ? event.text : '';
    }
    const named = names.filter((name) => plain(answer).includes(plain(name)));
    numRight += named.length === 1 && named[0] === label ? 1 : 0;
    step.update(index + 1);
  }
  return numRight / texts.length;
}
