import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../support/home.ts';
import {
  CLUSTER_FOLDER,
  kustomizeCommand,
  type Manifest,
  type PodTemplate,
  podTemplates,
  render,
  validate,
} from './manifests.ts';

const kustomize = kustomizeCommand();
if (kustomize === null) {
  console.warn('The manifests of ops/origin/cluster are not checked: neither kustomize nor kubectl is installed.');
}

const SERVER = { 'app.kubernetes.io/name': 'vllm', 'app.kubernetes.io/component': 'server' };

const matches = (labels: Readonly<Record<string, string>>, selector: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

describe.skipIf(kustomize === null)('the cluster', () => {
  describe.each(['glm-4-9b-0414', 'glm-4.6', 'glm-4.6-multi-node'])('%s', (overlay) => {
    let yaml: string;
    let manifests: readonly Manifest[];
    let server: PodTemplate;
    const find = (kind: string, name: string): Manifest | undefined =>
      manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);

    beforeAll(async () => {
      yaml = await render(kustomize ?? ['kustomize'], path.join(CLUSTER_FOLDER, 'overlays', overlay));
      manifests = await validate(yaml);
      const servers = podTemplates(manifests).filter((template) => matches(template.metadata.labels, SERVER));
      expect(servers).toHaveLength(1);
      [server] = servers as [PodTemplate];
    });

    it('refuses a field that Kubernetes or an operator does not know', async () => {
      const misspelt = yaml
        .replaceAll('terminationGracePeriodSeconds', 'terminationGracePeriod')
        .replace('pollingInterval', 'pollInterval')
        .replace('podMetricsEndpoints', 'endpoints');
      const problems = await validate(misspelt).then(
        () => '',
        (error: unknown) => String(error),
      );
      expect(problems).toMatch(/'terminationGracePeriod' was unexpected/);
      expect(problems).toMatch(/ScaledObject vllm: spec: .*'pollInterval' was unexpected/);
      expect(problems).toMatch(/PodMonitor vllm: spec: .*'endpoints' was unexpected/);
    });

    it('drains: the engine gets SIGTERM, and the time that it needs', () => {
      const [engine] = server.spec.containers;
      const words = [...(engine?.command ?? []), ...(engine?.args ?? [])].join(' ');
      expect(words).toMatch(/^vllm serve|exec vllm serve/);
      const shutdownSeconds = Number(/--shutdown-timeout=(\d+)/.exec(words)?.[1]);
      const preStopSeconds = engine?.lifecycle?.preStop?.sleep?.seconds ?? 0;
      expect(preStopSeconds).toBeGreaterThan(0);
      expect(server.spec.terminationGracePeriodSeconds).toBeGreaterThan(preStopSeconds + shutdownSeconds);
    });

    it('selects the pods that serve, and only those', () => {
      const selectors = [
        find('Service', 'vllm')?.spec['selector'],
        find('PodDisruptionBudget', 'vllm')?.spec['selector'],
        find('PodMonitor', 'vllm')?.spec['selector'],
      ];
      expect(selectors).toEqual([SERVER, { matchLabels: SERVER }, { matchLabels: SERVER }]);
    });

    it('scales what is there', () => {
      const target = find('ScaledObject', 'vllm')?.spec['scaleTargetRef'] as { kind?: string; name: string };
      expect(find(target.kind ?? 'Deployment', target.name)).toBeDefined();
    });

    it('names only what is there, or what the guide tells to make', async () => {
      const guide = await readFile(path.join(PROJECT_ROOT, 'docs', 'origins.md'), 'utf8');
      for (const { spec } of podTemplates(manifests)) {
        for (const { configMap, persistentVolumeClaim } of spec.volumes ?? []) {
          const name = configMap?.name ?? persistentVolumeClaim?.claimName;
          const kind = configMap === undefined ? 'PersistentVolumeClaim' : 'ConfigMap';
          expect(name === undefined || find(kind, name) !== undefined, name).toBe(true);
        }
        for (const { env = [] } of spec.containers) {
          for (const secret of env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef?.name ?? [])) {
            expect(guide).toContain(`create secret generic ${secret}`);
          }
        }
      }
    });

    it('pins every image and bounds every container', () => {
      for (const { image, resources } of podTemplates(manifests).flatMap(({ spec }) => spec.containers)) {
        expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
        expect(resources).toMatchObject({ requests: { memory: expect.any(String) as string }, limits: {} });
      }
    });

    it('lies in one namespace', () => {
      const others = manifests.filter(
        ({ kind, metadata }) => kind !== 'Namespace' && metadata.namespace !== 'lamina-origin',
      );
      expect(others).toEqual([]);
    });
  });
});
