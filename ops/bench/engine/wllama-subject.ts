/**
 * wllama, llama.cpp compiled to WASM, with one thread in a headless Chromium: what else runs such a model in a sandbox.
 * The package and the model come from a server on the loopback interface; nothing is fetched from elsewhere.
 */
import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../../support/operator-error.ts';
import { findBrowser, launchBrowser } from '../../testing/browser.ts';
import { type LlamaCppTimings, type SubjectFactory, timingOf } from './subject.ts';

/** What the page asks for, and the type that a browser insists on. */
const FILES: Readonly<Record<string, string>> = {
  '/index.js': 'text/javascript',
  '/wasm/wllama.wasm': 'application/wasm',
};
const MODEL_PATH = '/model.gguf';

/** As much of wllama's interface as the page uses. */
interface Wllama {
  loadModel(blobs: Blob[], params: Record<string, unknown>): Promise<void>;
  createCompletion(params: Record<string, unknown>): Promise<{ readonly timings?: LlamaCppTimings }>;
  getNumThreads(): number;
}

/** The page's global, in which the loaded model is kept between calls. */
type PageGlobal = typeof globalThis & { benchModel?: Wllama };

async function servePage(modelFile: string): Promise<{ server: Server; url: string }> {
  const folder = path.dirname(fileURLToPath(import.meta.resolve('@wllama/wllama')));
  const server = createServer((request, response) => {
    const url = request.url ?? '/';
    const type = FILES[url];
    if (url === '/') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>bench</title>');
    } else if (type !== undefined || url === MODEL_PATH) {
      response.writeHead(200, { 'content-type': type ?? 'application/octet-stream' });
      createReadStream(url === MODEL_PATH ? modelFile : path.join(folder, url)).pipe(response);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export function wllamaSubject(options: { readonly modelFile: string; readonly contextTokens: number }): SubjectFactory {
  const name = 'wllama';
  return {
    name,
    start: async () => {
      const browserPath = findBrowser();
      if (browserPath === null) {
        const hint = 'Install Chromium or name it with LAMINA_CHROMIUM, or leave wllama out with --peers llama.cpp.';
        throw new OperatorError('usage', 'wllama runs in a browser, and there is none.', hint);
      }
      const { server, url } = await servePage(options.modelFile);
      const browser = await launchBrowser(browserPath);
      const stop = async (): Promise<void> => {
        await browser.close();
        server.closeAllConnections();
        server.close();
      };
      try {
        const page = await browser.newPage();
        await page.goto(url);
        await page.evaluate(
          async ({ modelPath, contextTokens }) => {
            const index = '/index.js';
            const library = (await import(index)) as {
              Wllama: new (paths: { default: string }, config: { suppressNativeLog: boolean }) => Wllama;
            };
            const model = new library.Wllama({ default: '/wasm/wllama.wasm' }, { suppressNativeLog: true });
            const blob = await (await fetch(modelPath)).blob();
            await model.loadModel([blob], { n_threads: 1, n_ctx: contextTokens, n_parallel: 1, n_gpu_layers: 0 });
            (globalThis as PageGlobal).benchModel = model;
          },
          { modelPath: MODEL_PATH, contextTokens: options.contextTokens },
        );
        return {
          name,
          complete: async (prompt, maxTokens) => {
            const timings = await page.evaluate(
              async ({ text, numTokens }) => {
                const params = { max_tokens: numTokens, temperature: 0, ignore_eos: true, cache_prompt: false };
                const answer = await (globalThis as PageGlobal).benchModel?.createCompletion({
                  prompt: text,
                  ...params,
                });
                return answer?.timings ?? null;
              },
              { text: prompt.text, numTokens: maxTokens },
            );
            if (timings === null) {
              throw new OperatorError('runtime_failed', 'wllama gave no timings.');
            }
            return timingOf(timings);
          },
          stop,
        };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}
