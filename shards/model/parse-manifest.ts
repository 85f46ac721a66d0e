/** Reads a manifest from parsed JSON, strictly. */
import { headTensors, layerTensors, type ModelConfig, type TensorSpec } from '../../wasm/host/model-config.ts';
import { packedBytes } from '../../wasm/host/pack.ts';
import {
  EXTENT_ALIGNMENT_BYTES,
  MANIFEST_VERSION,
  STAGE_FILE_BYTES_MAX,
  type Manifest,
  type ManifestTensor,
  type StageFile,
  type TensorExtent,
} from './manifest.ts';
import { array, fileName, integer, invalid, ManifestError, record, sha256, text } from './manifest-fields.ts';
import { parseModelConfig } from './parse-config.ts';

/** Files of one model; with 512 layers of eight files each it would be a model that no ring can serve. */
const NUM_FILES_MAX = 4096;
/** Pieces of one tensor. The largest vocabulary at the largest width takes 700 files of 24 MiB. */
const NUM_EXTENTS_MAX = 1024;

/**
 * A manifest decides where weights are written in WASM memory, so nothing in it is believed: every
 * number has a bound, every tensor must be the one that the config implies, in the same order, and every extent must lie
 * in a file of its part without touching another.
 * @param json the result of `JSON.parse`
 * @throws ManifestError naming the field
 */
export function parseManifest(json: unknown): Manifest {
  const version = json !== null && typeof json === 'object' ? (json as { version?: unknown }).version : undefined;
  if (typeof version === 'number' && version !== MANIFEST_VERSION) {
    throw new ManifestError(
      'version',
      `the manifest has version ${version}, this program reads ${MANIFEST_VERSION}; convert the model again`,
    );
  }
  const fields = record(json, 'manifest', [
    'version',
    'model',
    'architecture',
    'sourceSha256',
    'config',
    'files',
    'tensors',
  ]);
  if (fields['version'] !== MANIFEST_VERSION) {
    throw invalid('version', `should be ${MANIFEST_VERSION}`);
  }
  const config = parseModelConfig(fields['config'], 'config');
  const files = array(fields['files'], 'files', NUM_FILES_MAX).map((file, i) => parseFile(file, `files[${i}]`, config));
  refuseRepeatedNames(files);
  const specs = expectedTensors(config);
  const tensors = array(fields['tensors'], 'tensors', specs.length).map((tensor, i) =>
    parseTensor(tensor, `tensors[${i}]`, specs[i]),
  );
  if (tensors.length < specs.length) {
    throw invalid('tensors', `misses ${specs[tensors.length]?.name}`);
  }
  checkExtents(files, tensors);
  return {
    version: MANIFEST_VERSION,
    model: text(fields['model'], 'model'),
    architecture: text(fields['architecture'], 'architecture'),
    sourceSha256: sha256(fields['sourceSha256'], 'sourceSha256'),
    config,
    files,
    tensors,
  };
}

function expectedTensors(config: ModelConfig): TensorSpec[] {
  const layers = Array.from({ length: config.numLayers }, (_, layerIndex) => layerTensors(config, layerIndex));
  return [...headTensors(config), ...layers.flat()];
}

function parseFile(json: unknown, path: string, config: ModelConfig): StageFile {
  const fields = record(json, path, ['name', 'bytes', 'sha256', 'part']);
  const part = fields['part'];
  return {
    name: fileName(fields['name'], `${path}.name`),
    bytes: integer(fields['bytes'], `${path}.bytes`, { min: 1, max: STAGE_FILE_BYTES_MAX }),
    sha256: sha256(fields['sha256'], `${path}.sha256`),
    part: part === 'head' ? part : integer(part, `${path}.part`, { min: 0, max: config.numLayers - 1 }),
  };
}

function parseTensor(json: unknown, path: string, spec: TensorSpec | undefined): ManifestTensor {
  if (spec === undefined) {
    throw invalid(path, 'is one more than the config implies');
  }
  const fields = record(json, path, ['name', 'shape', 'format', 'sha256', 'extents']);
  if (fields['name'] !== spec.name) {
    throw invalid(`${path}.name`, `should be ${spec.name}`);
  }
  const shape = array(fields['shape'], `${path}.shape`, spec.shape.length);
  if (shape.length !== spec.shape.length || shape.some((dimension, i) => dimension !== spec.shape[i])) {
    throw invalid(`${path}.shape`, `should be [${spec.shape.join(', ')}] for ${spec.name}`);
  }
  if (fields['format'] !== spec.format) {
    throw invalid(`${path}.format`, `should be ${spec.format} for ${spec.name}`);
  }
  const extents = array(fields['extents'], `${path}.extents`, NUM_EXTENTS_MAX).map((extent, i) =>
    parseExtent(extent, `${path}.extents[${i}]`),
  );
  const extentBytes = extents.reduce((sum, extent) => sum + extent.bytes, 0);
  const tensorBytes = packedBytes(spec.format, spec.shape);
  if (extentBytes !== tensorBytes) {
    throw invalid(`${path}.extents`, `hold ${extentBytes} bytes, but ${spec.name} takes ${tensorBytes}`);
  }
  return {
    name: spec.name,
    shape: spec.shape,
    format: spec.format,
    sha256: sha256(fields['sha256'], `${path}.sha256`),
    extents,
  };
}

function parseExtent(json: unknown, path: string): TensorExtent {
  const fields = record(json, path, ['file', 'offset', 'bytes']);
  return {
    file: fileName(fields['file'], `${path}.file`),
    offset: integer(fields['offset'], `${path}.offset`, {
      min: 0,
      max: STAGE_FILE_BYTES_MAX,
      multiple: EXTENT_ALIGNMENT_BYTES,
    }),
    bytes: integer(fields['bytes'], `${path}.bytes`, { min: 1, max: STAGE_FILE_BYTES_MAX }),
  };
}

function refuseRepeatedNames(files: readonly StageFile[]): void {
  const names = new Set<string>();
  for (const [i, { name }] of files.entries()) {
    if (names.has(name)) {
      throw invalid(`files[${i}].name`, `${name} appears twice`);
    }
    names.add(name);
  }
}

/** Every extent lies in a file of its tensor's part, and no two extents share a byte. */
function checkExtents(files: readonly StageFile[], tensors: readonly ManifestTensor[]): void {
  const fileByName = new Map(files.map((file) => [file.name, file]));
  const extentsByFile = new Map<string, TensorExtent[]>();
  for (const [i, tensor] of tensors.entries()) {
    const [, layerIndex] = tensor.name.split('.');
    const part = layerIndex === undefined ? 'head' : Number(layerIndex);
    for (const extent of tensor.extents) {
      const file = fileByName.get(extent.file);
      if (file === undefined || file.part !== part) {
        throw invalid(`tensors[${i}].extents`, `name ${extent.file}, which is no file of part ${part}`);
      }
      if (extent.offset + extent.bytes > file.bytes) {
        throw invalid(`tensors[${i}].extents`, `end behind the ${file.bytes} bytes of ${file.name}`);
      }
      const inFile = extentsByFile.get(file.name) ?? [];
      inFile.push(extent);
      extentsByFile.set(file.name, inFile);
    }
  }
  for (const [name, extents] of extentsByFile) {
    extents.sort((a, b) => a.offset - b.offset);
    extents.reduce((end, extent) => {
      if (extent.offset < end) {
        throw invalid('tensors', `have extents that overlap in ${name} at byte ${extent.offset}`);
      }
      return extent.offset + extent.bytes;
    }, 0);
  }
}
