/**
 * Compiles `wasm/assembly` to `wasm/build/kernels.wasm`, with `kernels.wat` beside it to read what the compiler made of
 * a change. Skipped when the stamp beside them names the same sources, options, compiler and output.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WASM_FOLDER = fileURLToPath(new URL('.', import.meta.url));
const ASSEMBLY_FOLDER = join(WASM_FOLDER, 'assembly');
const BUILD_FOLDER = join(WASM_FOLDER, 'build');
const WASM_FILE = 'kernels.wasm';
const TEXT_FILE = 'kernels.wat';
const STAMP_FILE = 'kernels.stamp.json';
const ENTRY = 'assembly/index.ts';

const OPTIONS = [
  '-O3',
  '--noAssert',
  '--runtime=stub',
  // The host creates the memory, of exactly the planned size.
  '--importMemory',
  '--noExportMemory',
  '--enable=simd,relaxed-simd',
  // 201 asks for casts that matter in 64-bit memories only, 112 warns of exported functions with vectors in their
  // signature, though none leaves the module.
  '--disableWarning=201,112',
];

/** Where the build lies, and whether this call made it. */
export interface KernelBuild {
  readonly wasmPath: string;
  readonly textPath: string;
  readonly wasBuilt: boolean;
}

/**
 * Builds what is out of date. Safe to call at the same time from several processes.
 * @throws Error with the compiler's messages when the sources do not compile
 */
export async function buildKernels(folder: string = BUILD_FOLDER): Promise<KernelBuild> {
  const build = { wasmPath: join(folder, WASM_FILE), textPath: join(folder, TEXT_FILE) };
  const stampPath = join(folder, STAMP_FILE);
  const sourcesSha256 = await hashSources();
  if (await isFresh(stampPath, build.wasmPath, sourcesSha256)) {
    return { ...build, wasBuilt: false };
  }
  const outputs = await compile();
  const wasm = outputs.get(WASM_FILE);
  const text = outputs.get(TEXT_FILE);
  if (!(wasm instanceof Uint8Array) || text === undefined) {
    throw new Error(`asc wrote no ${WASM_FILE}`);
  }
  await mkdir(folder, { recursive: true });
  await writeAtomically(build.textPath, text);
  await writeAtomically(build.wasmPath, wasm);
  // Last: whoever finds this stamp finds the files that it names.
  await writeAtomically(stampPath, JSON.stringify({ sourcesSha256, wasmSha256: sha256(wasm) }));
  return { ...build, wasBuilt: true };
}

/** Builds if need be, and compiles the module. */
export async function loadKernels(): Promise<WebAssembly.Module> {
  const { wasmPath } = await buildKernels();
  return new WebAssembly.Module(await readFile(wasmPath));
}

async function hashSources(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify({ asc: compilerVersion(), options: OPTIONS }));
  const names = (await readdir(ASSEMBLY_FOLDER)).filter((name) => name.endsWith('.ts')).toSorted();
  for (const name of names) {
    hash.update(`\0${name}\0`).update(await readFile(join(ASSEMBLY_FOLDER, name)));
  }
  return hash.digest('hex');
}

/** From the package's own description: loading the compiler takes half a second, and most starts need none. */
function compilerVersion(): string {
  const description = createRequire(import.meta.url)('assemblyscript/package.json') as { version: string };
  return description.version;
}

async function isFresh(stampPath: string, wasmPath: string, sourcesSha256: string): Promise<boolean> {
  try {
    const stamp: unknown = JSON.parse(await readFile(stampPath, 'utf8'));
    const wasmSha256 = sha256(await readFile(wasmPath));
    return JSON.stringify(stamp) === JSON.stringify({ sourcesSha256, wasmSha256 });
  } catch {
    // Missing or damaged: either way it has to be built.
    return false;
  }
}

async function compile(): Promise<Map<string, string | Uint8Array>> {
  const outputs = new Map<string, string | Uint8Array>();
  const messages: string[] = [];
  const { default: asc } = await import('assemblyscript/asc');
  const { error } = await asc.main(
    [ENTRY, ...OPTIONS, '--baseDir', WASM_FOLDER, '--outFile', WASM_FILE, '--textFile', TEXT_FILE],
    {
      writeFile: (name: string, contents: string | Uint8Array) => {
        outputs.set(name, contents);
      },
      stderr: { write: (chunk: string | Uint8Array) => messages.push(String(chunk)) },
    },
  );
  if (error !== null) {
    throw new Error(`The kernels do not compile:\n${messages.join('')}`, { cause: error });
  }
  return outputs;
}

async function writeAtomically(path: string, contents: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, contents);
  await rename(temporary, path);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

if (import.meta.main) {
  const { wasmPath, wasBuilt } = await buildKernels();
  console.log(`${wasmPath} ${wasBuilt ? 'built' : 'is up to date'}`);
}
