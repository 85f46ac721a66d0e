/** `lamina classify` against a gateway with real classifier objects, over HTTP. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway } from '../../../worker/gateway.ts';
import { LocalClassifiers } from '../../../worker/test/support/local-classifiers.ts';
import { serve, type TestServer } from '../../../worker/test/support/node-server.ts';
import { startRealGateway, type TestGateway } from '../../../worker/test/support/real-gateway.ts';
import { startLamina } from './run-lamina.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'lamina-classify-cli-'));
const WORDS = { cancel: 'zzz', refund: 'qqq' };
const csvOf = (first: number, count: number): string =>
  [
    'text,label',
    ...Object.entries(WORDS).flatMap(([label, word]) =>
      Array.from({ length: count }, (_, i) => `"text ${first + i}, ${word}",${label}`),
    ),
  ].join('\n');
const train = path.join(folder, 'support.csv');
const test = path.join(folder, 'test.csv');
const oos = path.join(folder, 'oos.jsonl');
writeFileSync(train, csvOf(0, 12));
writeFileSync(test, csvOf(50, 5));
writeFileSync(oos, '{"text":"nothing of the kind"}\n{"text":"another thing"}\n');

let real: TestGateway;
let server: TestServer;
let classifiers: LocalClassifiers;

beforeAll(async () => {
  real = await startRealGateway();
  classifiers = new LocalClassifiers(real.deps);
  const app = createGateway(classifiers.deps);
  server = await serve(async (request) => {
    // What alarms do while somebody looks.
    await classifiers.settle();
    return app.fetch(request);
  });
});
afterAll(async () => {
  await server.close();
  await real.close();
  rmSync(folder, { recursive: true });
});

const lamina = (args: readonly string[], stdin = '') =>
  startLamina(['classify', ...args, '--url', server.url], { stdin }).ended;

describe('lamina classify', () => {
  it('trains from a file, tests on another, classifies lines, lists and removes', async () => {
    const trained = await lamina(['train', train]);
    expect(trained).toMatchObject({ code: 0 });
    const id = /^classifier +(clf_\w+)$/m.exec(trained.stdout)?.[1] ?? '';
    expect(trained.stdout).toMatch(/^labels +2, 24 examples$/m);
    expect(trained.stdout).toMatch(/^accuracy +100\.00 %/m);

    const plots = path.join(folder, 'plots');
    const tested = await lamina(['test', id, test, '--oos', oos, '--plots', plots]);
    expect(tested).toMatchObject({ code: 0 });
    expect(tested.stdout).toMatch(/^accuracy +100\.00 % of 10 texts$/m);
    expect(tested.stdout).toMatch(/^out of scope +AUROC \d/m);
    for (const name of ['reliability.svg', 'confusion.svg']) {
      expect(readFileSync(path.join(plots, name), 'utf8')).toMatch(/^<svg /);
    }

    const run = await lamina(['run', id], 'a qqq\n\na zzz\n');
    const lines = run.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toMatchObject([
      { text: 'a qqq', label: 'refund' },
      { text: 'a zzz', label: 'cancel' },
    ]);

    expect((await lamina(['list'])).stdout).toMatch(new RegExp(`^${id} +support +ready +1 +24$`, 'm'));
    expect(await lamina(['remove', id])).toMatchObject({ code: 0, stdout: `${id} is removed.\n` });
    expect(await lamina(['run', id], 'x\n')).toMatchObject({ code: 1 });
  }, 60_000);

  it('classifies by labels alone', async () => {
    const { code, stdout } = await lamina(['run', '--labels', 'order, refund'], 'a text\n');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ text: 'a text', served_by: { method: 'zero_shot' } });
  });

  it('says what is wrong', async () => {
    expect(await lamina(['run'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--labels') as string });
    expect(await lamina(['train', test, '--label-column', 'nobody'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nobody') as string,
    });
    expect(await lamina(['train', oos.replace('oos', 'nowhere')])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/nowhere\.jsonl cannot be read/) as string,
    });
    expect(await lamina(['train', path.join(folder, 'x.txt')])).toMatchObject({ code: 2 });
    expect(await lamina(['test', 'clf_none', test])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('clf_none') as string,
    });
  });
});
