/** The configurations of the deployed platform: what they say, and that wrangler itself accepts and bundles them. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseOrigins } from '../../../worker/origin/origin-config.ts';
import { type PreparedModel, prepareModel } from '../../dev/prepare.ts';
import type { DeployedOrigins } from '../../origin/origins-file.ts';
import { homeLayout } from '../../support/home.ts';
import { type Progress, silentProgress } from '../../support/progress.ts';
import { writeTinyGguf } from '../../testing/tiny-model.ts';
import { dryRun, writeDeployment } from '../deploy.ts';
import type { ScriptConfigs } from '../wrangler-configs.ts';

/** One origin behind a tunnel, with a key. */
const ORIGINS: DeployedOrigins = {
  origins: parseOrigins([
    {
      id: 'cluster',
      transport: 'vpc',
      binding: 'ORIGIN_CLUSTER',
      url: 'http://vllm.internal:8000',
      models: [{ public: 'lamina-pro', upstream: 'glm-4.6', capabilities: ['chat'] }],
      credentials: { apiKeySecret: 'ORIGIN_CLUSTER_KEY' },
    },
  ]),
  bindings: { vpc_services: [{ binding: 'ORIGIN_CLUSTER', service_id: 'service-1', remote: true }] },
};

let folder: string;
let deployment: string;
let prepared: PreparedModel;
let scripts: ScriptConfigs[];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-deploy-'));
  const modelFile = path.join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile);
  const home = homeLayout(path.join(folder, 'home'));
  const env = { ...process.env, LAMINA_MODEL_FILE: modelFile };
  prepared = await prepareModel(undefined, { stageCount: 3 }, { home, env, progress: silentProgress });
  deployment = home.deploy;
  scripts = await writeDeployment(deployment, prepared, { origins: ORIGINS });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const readConfig = async (script: string, name = 'wrangler.json'): Promise<Record<string, never>> =>
  JSON.parse(await readFile(path.join(deployment, script, name), 'utf8')) as Record<string, never>;

describe('writeDeployment', () => {
  it('deploys the stages before the gateway that is bound to the head', () => {
    expect(scripts.map((script) => script.scriptName)).toEqual([
      'lamina-tiny-s0',
      'lamina-tiny-s1',
      'lamina-tiny-s2',
      'lamina-classify',
      'lamina-gateway',
    ]);
  });

  it('binds the ring crosswise, and the head to every stage', async () => {
    const bound = async (script: string, name?: string): Promise<unknown> =>
      (await readConfig(script, name))['durable_objects'];
    const shard = { name: 'SHARD', class_name: 'StageShard' };
    const other = (name: string, stageIndex: number) => ({
      name,
      class_name: 'StageShard',
      script_name: `lamina-tiny-s${stageIndex}`,
    });
    expect(await bound('lamina-tiny-s0')).toEqual({
      bindings: [shard, other('NEXT', 1), other('STAGE_1', 1), other('STAGE_2', 2)],
    });
    expect(await bound('lamina-tiny-s2')).toEqual({ bindings: [shard, other('NEXT', 0)] });
    expect(await bound('lamina-gateway')).toEqual({
      bindings: [
        other('HEAD_0', 0),
        { name: 'RUNS', class_name: 'RunShard' },
        { name: 'PREFIXES', class_name: 'PrefixShard' },
        { name: 'CLASSIFIERS', class_name: 'ClassifierShard', script_name: 'lamina-classify' },
        { name: 'CLASSIFIER_INDEX', class_name: 'ClassifierIndex', script_name: 'lamina-classify' },
      ],
    });
    expect(await bound('lamina-classify')).toEqual({ bindings: [other('HEAD_0', 0)] });
    expect(await bound('lamina-tiny-s2', 'bootstrap.json')).toEqual({ bindings: [shard] });
  });

  it('is a production configuration without any key, and without an address for the stages', async () => {
    const gateway = await readConfig('lamina-gateway');
    expect(gateway['vars']).toMatchObject({ LAMINA_ENVIRONMENT: 'production' });
    expect(JSON.stringify(gateway)).not.toMatch(/sk-local|API_KEYS/);
    expect(await readConfig('lamina-tiny-s1')).toMatchObject({ workers_dev: false, preview_urls: false });
  });

  it('gives the gateway its origins and the way to them, and nobody their key', async () => {
    const gateway = await readConfig('lamina-gateway');
    const { ORIGINS: variable = '' } = gateway['vars'] as unknown as Record<string, string>;
    expect(JSON.parse(variable)).toMatchObject([{ id: 'cluster' }]);
    expect(gateway['vpc_services']).toEqual(ORIGINS.bindings.vpc_services);
    expect(Object.keys(gateway['vars'] ?? {})).not.toContain('ORIGIN_CLUSTER_KEY');
    expect(JSON.stringify(await readConfig('lamina-tiny-s0'))).not.toContain('ORIGIN');
  });

  it('gives each stage the files of its own layers', async () => {
    const { directory } = (await readConfig('lamina-tiny-s1'))['assets'] as unknown as { directory: string };
    const names = await readdir(path.resolve(deployment, 'lamina-tiny-s1', directory));
    const { layerStart = 0, layerEnd = 0 } = prepared.plan.stages[1] ?? {};
    const layers = Array.from({ length: layerEnd - layerStart }, (_, index) => layerStart + index);
    expect(names.filter((name) => name.endsWith('.bin')).sort()).toEqual(
      layers.map((layer) => `layer-${String(layer).padStart(3, '0')}-00.bin`),
    );
  });
});

describe('several replicas', () => {
  it('are scripts of their own with the same assets, and deployed before the gateway', async () => {
    const folderOfTwo = path.join(folder, 'two');
    const corsOrigins = ['https://app.example.com'];
    const written = await writeDeployment(folderOfTwo, prepared, { numReplicas: 2, corsOrigins });
    const names = written.map(({ scriptName }) => scriptName);
    expect(names.slice(3)).toEqual([
      'lamina-tiny-r1-s0',
      'lamina-tiny-r1-s1',
      'lamina-tiny-r1-s2',
      'lamina-classify',
      'lamina-gateway',
    ]);
    const config = async (script: string) =>
      JSON.parse(await readFile(path.join(folderOfTwo, script, 'wrangler.json'), 'utf8')) as Record<string, never>;
    expect((await config('lamina-tiny-r1-s1'))['assets']).toEqual((await config('lamina-tiny-s1'))['assets']);
    expect(await config('lamina-gateway')).toMatchObject({
      vars: { CORS_ORIGINS: 'https://app.example.com' },
      durable_objects: {
        bindings: [
          { script_name: 'lamina-tiny-s0' },
          { script_name: 'lamina-tiny-r1-s0' },
          { name: 'RUNS' },
          { name: 'PREFIXES' },
          { name: 'CLASSIFIERS' },
          { name: 'CLASSIFIER_INDEX' },
        ],
      },
    });
  });
});

describe('dryRun', () => {
  it('bundles every script with wrangler', async () => {
    const outcomes: string[] = [];
    const progress: Progress = {
      ...silentProgress,
      step: (label) => ({ ...silentProgress.step(label), done: (outcome) => void outcomes.push(outcome) }),
    };
    await dryRun({ folder: deployment, scripts, env: process.env, progress });
    expect(outcomes).toHaveLength(5);
    expect(outcomes.every((outcome) => /^[\d.]+ KiB \/ gzip: /.test(outcome))).toBe(true);
  });

  it('says what wrangler said when it refuses', async () => {
    const [stage] = await writeDeployment(deployment, prepared);
    await rm(path.join(deployment, 'assets'), { recursive: true });
    const refused = dryRun({
      folder: deployment,
      scripts: stage === undefined ? [] : [stage],
      env: process.env,
      progress: silentProgress,
    });
    await expect(refused).rejects.toThrow(/wrangler refused lamina-tiny-s0:[^]*assets/);
  });
});
