/**
 * The kernel cases inside the Workers runtime. Its clock stands still while code runs, so the time is taken outside,
 * around requests that make many calls.
 */
import { type KernelCase, kernelCases } from '../../../wasm/bench/cases.ts';

/** What a case is, without what runs it. */
export type CaseInfo = Omit<KernelCase, 'run'>;

/**
 * `GET /next` goes to the next case and answers with what it is, `null` after the last; `GET /run?calls=100` calls it.
 * One client at a time: the cases are steps of one generator.
 */
export function createKernelWorker(kernels: WebAssembly.Module): { fetch: (request: Request) => Response } {
  let cases: Generator<KernelCase> | null = null;
  let current: KernelCase | null = null;
  return {
    fetch: (request) => {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === '/next') {
        cases ??= kernelCases(kernels);
        const next = cases.next();
        current = next.done === true ? null : next.value;
        const { name = '', multiplyAdds = 0, bytes = 0 } = current ?? {};
        return Response.json(current === null ? null : { name, multiplyAdds, bytes });
      }
      for (let call = Number(searchParams.get('calls')); call > 0; call--) {
        current?.run();
      }
      return new Response(null, { status: 204 });
    },
  };
}
