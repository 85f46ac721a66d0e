/** How the origin behaves when tenants share it, when too much comes, and when it goes away. */
import { runProgram } from '../../eval/run-program.ts';
import { type Check, describeAnswer, fail, notApplicable, pass } from './check-result.ts';
import { type Answer, chat, streamChat } from './origin-client.ts';

/** Sent at once when no bound is to be seen: enough that some must wait. */
const SMALL_BURST = 16;
/** A stream this long is still running when the drain begins. */
export const DRAIN_TOKENS = 512;

const cachedTokens = (answer: Answer): number | null => {
  const usage = answer.body?.['usage'] as { prompt_tokens_details?: { cached_tokens?: number } | null } | undefined;
  return usage?.prompt_tokens_details?.cached_tokens ?? null;
};

const saltCheck: Check = {
  name: 'cache salt',
  run: async ({ client, engine }) => {
    if (engine === 'llama.cpp') {
      return notApplicable('llama.cpp has no salt: a prompt of one tenant can speed up that of another');
    }
    // Long enough to fill several pages of any engine's cache, and never the same twice.
    const words = Array.from({ length: 400 }, (_, index) => `word${index}`).join(' ');
    const body = { messages: [{ role: 'user', content: `${crypto.randomUUID()} ${words}` }], max_tokens: 1 };
    const ask = (salt: string): Promise<Answer> => chat(client, { ...body, cache_salt: salt });
    const first = await ask('tenant-a');
    if (first.status !== 200) {
      return fail(
        `cache_salt is refused: ${describeAnswer(first)}`,
        'The gateway sends it to vLLM: use vLLM 0.9 or newer.',
      );
    }
    const [same, other] = [await ask('tenant-a'), await ask('tenant-b')];
    const [sameCached, otherCached] = [cachedTokens(same), cachedTokens(other)];
    if (otherCached !== null && otherCached > 0) {
      return fail(
        `${otherCached} tokens of one tenant's prompt were reused for another`,
        'Do not share this origin among tenants.',
      );
    }
    return sameCached === null
      ? pass('accepted; start vLLM with --enable-prompt-tokens-details to see that it works')
      : pass(`accepted; ${sameCached} tokens reused within a tenant, none across`);
  },
};

/** Refusals that tell the gateway to try elsewhere, or later. */
const REFUSALS = new Set([429, 503]);

const queueCheck: Check = {
  name: 'queue bound',
  run: async ({ client, engine, burst }) => {
    const size = burst === 0 ? SMALL_BURST : burst;
    const body = { messages: [{ role: 'user', content: 'Say hello.' }], max_tokens: 16, temperature: 0 };
    const answers = await Promise.all(
      Array.from({ length: size }, () =>
        chat(client, body).catch((error: unknown): Answer => ({ status: 0, body: null, text: String(error) })),
      ),
    );
    const wrong = answers.find((answer) => answer.status !== 200 && !REFUSALS.has(answer.status));
    if (wrong !== undefined) {
      return fail(
        `of ${size} requests at once, one got ${describeAnswer(wrong)}`,
        'Under load an origin must answer, or refuse with 429 or 503.',
      );
    }
    const numRefused = answers.filter((answer) => answer.status !== 200).length;
    if (numRefused > 0) {
      return pass(`of ${size} requests at once, ${numRefused} were refused early`);
    }
    if (burst === 0 || engine === 'llama.cpp') {
      const why = engine === 'llama.cpp' ? 'llama.cpp queues without a bound' : 'to see a bound, give --burst';
      return notApplicable(
        `all of ${size} requests at once were answered; ${why}; the gateway's "concurrency" bounds it`,
      );
    }
    return fail(
      `all of ${size} requests at once were queued`,
      'Start vLLM with --max-num-queued-reqs, or give a --burst larger than that and --max-num-seqs together.',
    );
  },
};

const drainCheck: Check = {
  name: 'drain',
  run: async ({ client, drainCommand }) => {
    if (drainCommand === null) {
      return notApplicable('to see it, give --drain-command, such as "kubectl delete pod --wait=false <the pod>"');
    }
    let drain: ReturnType<typeof runProgram> | null = null;
    const body = {
      messages: [{ role: 'user', content: 'Count upwards from one, one number a line.' }],
      max_tokens: DRAIN_TOKENS,
      ignore_eos: true,
    };
    const onChunk = (): void => void (drain ??= runProgram('sh', ['-c', drainCommand], process.env));
    const end = await streamChat(client, body, { onChunk }).catch(() => null);
    const result = await (drain as ReturnType<typeof runProgram> | null);
    if (result?.ok === false) {
      return fail(`the drain command failed: ${result.reason}`, 'Give one that ends at once and successfully.');
    }
    return end !== null && end.isDone && end.finishReasons.length === 1
      ? pass('a stream that was running when the origin was told to stop came to its end')
      : fail(
          'a stream that was running when the origin was told to stop was cut',
          'Start vLLM with --shutdown-timeout, and let terminationGracePeriodSeconds be longer than it and preStop together.',
        );
  },
};

export const OPERATION_CHECKS: readonly Check[] = [saltCheck, queueCheck, drainCheck];
