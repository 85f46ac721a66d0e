/** `lamina origin check`: what an operator runs against a live origin before the gateway gets it. */
import { commandContext, parseCount } from '../cli/context.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import { ABORT_CHECKS } from './check/abort-checks.ts';
import { BASIC_CHECKS } from './check/basic-checks.ts';
import type { Check, CheckContext, CheckResult } from './check/check-result.ts';
import { OPERATION_CHECKS } from './check/operation-checks.ts';
import { describeOrigin, rootUrl } from './describe-origin.ts';

export interface CheckFlags {
  readonly key?: string;
  readonly model?: string;
  readonly burst?: string;
  readonly drainCommand?: string;
  readonly json?: boolean;
}

/** The last one may end the origin, so nothing comes after it. */
export const CHECKS: readonly Check[] = [...BASIC_CHECKS, ...ABORT_CHECKS, ...OPERATION_CHECKS];

export type NamedResult = CheckResult & { readonly name: string };

/** Runs all checks in turn; `onResult` gets each as it is known. */
export async function checkOrigin(
  context: CheckContext,
  onResult: (result: NamedResult) => void,
): Promise<readonly NamedResult[]> {
  const results: NamedResult[] = [];
  for (const check of CHECKS) {
    const result = await check.run(context).catch((error: unknown): CheckResult => {
      const advice = 'The origin closed the connection or fell silent. Look at its log, and at proxies in between.';
      return { outcome: 'fail', detail: messageOf(error), advice };
    });
    const named = { name: check.name, ...result };
    results.push(named);
    onResult(named);
  }
  return results;
}

/** The origin as it describes itself, with the flags. @throws OperatorError when it does not answer at all. */
export async function checkContext(url: string, flags: CheckFlags): Promise<CheckContext> {
  const key = flags.key ?? null;
  const { engine, models } = await describeOrigin(url, key);
  const model = flags.model === undefined ? models[0] : models.find(({ name }) => name === flags.model);
  if (model === undefined) {
    const names = models.map(({ name }) => name).join(', ');
    throw new OperatorError('usage', `The origin has no model "${flags.model ?? ''}".`, `It has: ${names}.`);
  }
  return {
    client: { url: rootUrl(url), key, model: model.name },
    engine,
    contextLength: model.contextLength,
    burst: parseCount('--burst', flags.burst) ?? 0,
    drainCommand: flags.drainCommand ?? null,
  };
}

const MARKS = { pass: '✔', fail: '✖', 'not applicable': '–' } as const;
const COLOURS = { pass: 'green', fail: 'red', 'not applicable': 'dim' } as const;
const NAME_COLUMNS = 22;

export async function checkCommand(url: string, flags: CheckFlags): Promise<void> {
  const { paint, print } = commandContext({});
  const context = await checkContext(url, flags);
  const isJson = flags.json === true;
  if (!isJson) {
    print(`${context.client.url}: ${context.client.model} on ${context.engine}`);
  }
  const results = await checkOrigin(context, (result) => {
    if (!isJson) {
      const { name, outcome, detail } = result;
      print(`${paint(COLOURS[outcome], MARKS[outcome])} ${name.padEnd(NAME_COLUMNS)} ${detail}`);
      if (result.outcome === 'fail') {
        print(`  ${' '.repeat(NAME_COLUMNS)} ${result.advice}`);
      }
    }
  });
  const count = (outcome: CheckResult['outcome']): number => results.filter((one) => one.outcome === outcome).length;
  if (isJson) {
    print(JSON.stringify({ url: context.client.url, model: context.client.model, engine: context.engine, results }));
  } else {
    print(`${count('pass')} passed, ${count('fail')} failed, ${count('not applicable')} not applicable`);
  }
  if (count('fail') > 0) {
    process.exitCode = 1;
  }
}
