/** Renders the cluster's manifests and checks them against schemas, as an operator's own pipeline would. */
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { ensureVenv } from '../../eval/venv.ts';
import { homeLayout, PROJECT_ROOT, resolveHome } from '../../support/home.ts';
import { silentProgress } from '../../support/progress.ts';

export const CLUSTER_FOLDER = path.join(PROJECT_ROOT, 'ops', 'origin', 'cluster');
const VALIDATE_FOLDER = path.join(CLUSTER_FOLDER, 'validate');

/** The parts of manifests that the tests look at. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly env?: readonly { readonly valueFrom?: { readonly secretKeyRef?: { readonly name: string } } }[];
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly terminationGracePeriodSeconds?: number;
    readonly containers: readonly Container[];
    readonly volumes?: readonly {
      readonly configMap?: { readonly name: string };
      readonly persistentVolumeClaim?: { readonly claimName: string };
    }[];
  };
}

/** The command that renders a kustomization on this machine, or null. */
export function kustomizeCommand(): readonly [string, ...string[]] | null {
  const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
  if (works('kustomize', 'version')) {
    return ['kustomize', 'build'];
  }
  return works('kubectl', 'kustomize', '--help') ? ['kubectl', 'kustomize'] : null;
}

function run(command: string, args: readonly string[], input: string): Promise<string> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(stdout) : reject(new Error(stderr))));
  });
}

/** @throws Error with what kustomize says. */
export function render(kustomize: readonly [string, ...string[]], folder: string): Promise<string> {
  const [command, ...args] = kustomize;
  return run(command, [...args, folder], '');
}

/** @throws Error with a line for each problem. */
export async function validate(yaml: string): Promise<readonly Manifest[]> {
  const python = await ensureVenv({
    home: homeLayout(resolveHome(undefined, process.env)),
    env: process.env,
    progress: silentProgress,
    name: 'venv-kubernetes',
    requirements: path.join(VALIDATE_FOLDER, 'requirements.txt'),
  });
  return JSON.parse(await run(python, [path.join(VALIDATE_FOLDER, 'validate_manifests.py')], yaml)) as Manifest[];
}

/** Every pod template, whatever kind of object it is in. */
export function podTemplates(manifests: readonly Manifest[]): readonly PodTemplate[] {
  return manifests.flatMap(({ kind, spec }) => {
    if (kind === 'Deployment') {
      return [spec['template'] as PodTemplate];
    }
    const group = spec?.['leaderWorkerTemplate'] as Record<string, PodTemplate> | undefined;
    return [group?.['leaderTemplate'], group?.['workerTemplate']].filter((template) => template !== undefined);
  });
}
