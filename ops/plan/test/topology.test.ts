/** The scripts of a platform with several replicas, and how they are bound to each other. */
import { describe, expect, it } from 'vitest';
import { parseAssignment } from '../../../shards/model/parse-assignment.ts';
import { parseCatalog, REPLICA_COUNT_MAX } from '../../../worker/routing/catalog.ts';
import { parseTrainingRoom } from '../../../worker/classify/training-room.ts';
import { numProcessesOfReplica } from '../../dev/runtimes.ts';
import type { Plan } from '../plan.ts';
import { platformTopology, STAGE_CLASS } from '../topology.ts';

const stage = (stageIndex: number): Plan['stages'][number] => ({
  stageIndex,
  layerStart: stageIndex * 2,
  layerEnd: stageIndex * 2 + 2,
  arena: { weightsBytes: 1, kvBytes: 1, pageBytes: 1, scratchBytes: 1, totalBytes: 4 },
  heapBytes: 1,
  totalBytes: 5,
  timeShare: 0.5,
  numPagesMax: 16,
});

const PLAN: Plan = {
  model: 'tiny',
  contextLength: 64,
  numTokensMax: 8,
  numLogitRowsMax: 2,
  budgetBytes: 100,
  numPages: 16,
  kvTokens: 256,
  stages: [stage(0), stage(1)],
  gateway: { heapBytes: 1, tokenizerBytes: 1, modelCacheBytes: 1, totalBytes: 3 },
  classify: {
    heapBytes: 1,
    tokenizerBytes: 1,
    labelsMax: 7,
    trainingBytesMax: 5,
    largest: { numLabels: 6, workspaceBytes: 1, searchBytes: 1, logitsBytes: 1 },
    totalBytes: 7,
  },
};

const options = { manifestSha256: 'a'.repeat(64), environment: 'local' } as const;

describe('platformTopology', () => {
  it('gives each replica scripts of its own, bound to no other replica', () => {
    const { replicas } = platformTopology(PLAN, { ...options, numReplicas: 3 });
    expect(replicas.map((stages) => stages.map(({ name }) => name))).toEqual([
      ['lamina-tiny-s0', 'lamina-tiny-s1'],
      ['lamina-tiny-r1-s0', 'lamina-tiny-r1-s1'],
      ['lamina-tiny-r2-s0', 'lamina-tiny-r2-s1'],
    ]);
    for (const stages of replicas) {
      const own = new Set(stages.map(({ name }) => name));
      const bound = stages.flatMap(({ namespaces }) => namespaces);
      expect(bound.length).toBeGreaterThan(4);
      expect(bound.every(({ scriptName }) => own.has(scriptName))).toBe(true);
    }
  });

  it('binds the gateway to the head of each, in the order of its catalog', () => {
    const { gateway } = platformTopology(PLAN, { ...options, numReplicas: REPLICA_COUNT_MAX });
    const catalog = parseCatalog(gateway.variables['CATALOG']);
    const heads = gateway.namespaces.filter(({ className }) => className === STAGE_CLASS);
    const { backend } = catalog.entries[0] ?? {};
    expect(backend).toMatchObject({ headBindings: heads.map(({ name }) => name) });
    expect(heads).toHaveLength(REPLICA_COUNT_MAX);
    expect(heads[1]).toMatchObject({ name: 'HEAD_1', scriptName: 'lamina-tiny-r1-s0' });
  });

  it('tells the script of classifiers what a training may take', () => {
    const { classify } = platformTopology(PLAN, options);
    expect(parseTrainingRoom(classify.variables['TRAINING'] ?? '')).toEqual({ labelsMax: 7, trainingBytesMax: 5 });
  });

  it('plans the steps in flight of each replica by the processes that its stages have', () => {
    const numProcesses = 3;
    const { replicas } = platformTopology(PLAN, {
      ...options,
      numReplicas: 2,
      numParallelStages: (replicaIndex) => numProcessesOfReplica(replicaIndex, 2, 2, numProcesses),
    });
    const stepsInFlight = replicas.map(([head]) => parseAssignment(head?.variables['STAGE'] ?? '').stepsInFlightMax);
    // Stages 0 and 1 share the first process, 2 and 3 have one each.
    expect(stepsInFlight).toEqual([1, 2]);
  });

  it('lets the web origins in that were named', () => {
    const { gateway } = platformTopology(PLAN, { ...options, corsOrigins: ['https://a.example', 'https://b.example'] });
    expect(gateway.variables['CORS_ORIGINS']).toBe('https://a.example,https://b.example');
  });
});
