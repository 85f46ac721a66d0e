/** Classifiers when something breaks: an object that is lost, a gateway that is gone, a head shard that refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classifierGateway, UNSEEN } from './support/classifier-gateway.ts';
import type { LocalClassifiersOptions } from './support/local-classifiers.ts';
import { startRealGateway, type TestGateway } from './support/real-gateway.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const gateway = (options: LocalClassifiersOptions = {}) => classifierGateway(real, options);

describe('a crash', () => {
  it('in a training loses nothing, and the result is the same', async () => {
    // So small that every slice is a call for features, or a bit of a fold.
    const pace = { featureTextsMax: 5, featureCallsMax: 1, turnMultiplyAdds: 4e4, sliceMultiplyAdds: 8e4 };
    const whole = gateway({ pace });
    const { id: first } = await whole.create();
    const numAlarms = await whole.classifiers.settle();
    const expected = await whole.classify(first, UNSEEN);
    expect(numAlarms).toBeGreaterThan(20);

    const cut = gateway({ pace });
    const { id } = await cut.create();
    // Often while features come, and once late in the fit, which takes most of the time.
    for (let alarm = 0; alarm < numAlarms * 0.9; alarm++) {
      await cut.classifiers.fireAlarms();
      if (alarm < 5) {
        cut.classifiers.crash();
        expect(await cut.get(id)).toMatchObject({ status: 'training', num_examples: 24 });
      }
    }
    cut.classifiers.crash();
    expect(cut.classifiers.head.numTexts).toBe(24);
    expect(await cut.classifiers.settle()).toBeLessThan(numAlarms / 2);
    expect(await cut.get(id)).toMatchObject({ status: 'ready', version: 1 });
    expect((await cut.classify(id, UNSEEN)).predictions).toEqual(expected.predictions);
    expect(cut.classifiers.errors).toEqual([]);
  });

  it('in an upload leaves nothing of it, and the classifier as it was', async () => {
    const { create, classifiers, json, get, tenantOf } = gateway();
    const { id } = await create();
    await classifiers.settle();
    const client = classifiers.classifier(tenantOf(), id);
    await client.addExamples('upload that is cut', [{ text: 'lost', labels: ['where'] }]);
    classifiers.crash();
    const refused = await json(`/v1/classifiers/${id}/examples`, { examples: [{ text: 'new', label: 'where' }] });
    expect(refused.status).toBe(409);
    classifiers.nowMs += classifiers.limits.uploadStaleMs;
    await classifiers.settle();
    expect((await json(`/v1/classifiers/${id}/examples`, { examples: [{ text: 'new', label: 'where' }] })).status).toBe(
      200,
    );
    expect(await get(id)).toMatchObject({ num_examples: 25, status: 'ready' });
  });

  it('of the gateway in the first upload removes the classifier after a while', async () => {
    const { classifiers } = gateway();
    await classifiers
      .classifier('t', 'clf_1')
      .create({ id: 'clf_1', name: 'n', kind: 'single', createdMs: classifiers.nowMs });
    expect(await classifiers.classifier('t', 'clf_1').snapshot()).toMatchObject({ status: 'uploading' });
    classifiers.nowMs += classifiers.limits.uploadStaleMs;
    await classifiers.settle();
    expect(await classifiers.classifier('t', 'clf_1').snapshot()).toBeNull();
  });
});

describe('a head shard that fails', () => {
  it('is asked again, later', async () => {
    const { create, classifiers, get } = gateway();
    classifiers.head.failure = { code: 'queue_full', message: 'full', retryable: true };
    const { id } = await create();
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ status: 'training' });
    classifiers.nowMs += 1000;
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ status: 'ready' });
    expect(classifiers.errors).toHaveLength(1);
  });

  it('for good ends the training, and says why', async () => {
    const { create, classifiers, get, request, json } = gateway();
    classifiers.head.failure = {
      code: 'invalid_request',
      message: 'The head shard has too few layers.',
      retryable: false,
    };
    const { id } = await create();
    await classifiers.settle();
    expect(await get(id)).toMatchObject({
      status: 'failed',
      error: 'The head shard has too few layers.',
      num_examples: 24,
    });
    const report = await request(`/v1/classifiers/${id}/report`);
    expect(report.status).toBe(409);
    expect((await json(`/v1/classifiers/${id}/train`, {})).status).toBe(202);
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ status: 'ready', error: null });
  });

  it('too often ends the training', async () => {
    const { create, classifiers, get } = gateway({ pace: { failuresMax: 3 } });
    const { id } = await create();
    classifiers.head.onCall = () => {
      classifiers.head.failure = { code: 'queue_full', message: 'The queue is full.', retryable: true };
    };
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(await get(id)).toMatchObject({ status: 'training' });
      await classifiers.settle();
      classifiers.nowMs += 60_000;
    }
    expect(await get(id)).toMatchObject({ status: 'failed', error: 'The queue is full.' });
  });
});
