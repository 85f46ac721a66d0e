import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../check/engine-load.ts';
import { checkContext, checkOrigin, CHECKS } from '../check-command.ts';
import { FAKE_KEY, type Fault, startFakeOrigin } from './fake-origin.ts';

/** Names of the checks by what they found, of an origin with one fault. */
async function outcomes(fault: Fault): Promise<Record<string, string[]>> {
  const origin = await startFakeOrigin(fault);
  try {
    const stop = `${process.execPath} -e "fetch('${origin.url}/stop')"`;
    const flags = { key: FAKE_KEY, burst: '40', drainCommand: stop };
    const results = await checkOrigin(await checkContext(origin.url, flags), () => {});
    const found: Record<string, string[]> = {};
    for (const { outcome, name } of results) {
      (found[outcome] ??= []).push(name);
    }
    return found;
  } finally {
    await origin.close();
  }
}

describe('checkOrigin', () => {
  it('passes an origin that does everything right', async () => {
    expect(await outcomes('none')).toEqual({ pass: CHECKS.map((check) => check.name) });
  });

  it.each<[Fault, string[]]>([
    ['open to everyone', ['key']],
    ['does not count', ['chat']],
    ['ends without [DONE]', ['chat, streaming', 'drain']],
    ['V0 metrics', ['metrics']],
    ['works on after an abort', ['abort, streaming', 'abort, not streaming']],
    ['shares its cache among tenants', ['cache salt']],
    ['queues everything', ['queue bound']],
    ['fails under load', ['queue bound']],
    ['stops at once', ['drain']],
  ])('finds that an origin %s', async (fault, failed) => {
    expect((await outcomes(fault))['fail']).toEqual(failed);
  });

  it('is not taken in by an origin that calls itself healthy', async () => {
    expect((await outcomes('healthy but dead'))['fail']).toContain('health');
  });
});

describe('parseMetrics', () => {
  it('sums the series of a name and leaves comments out', () => {
    const text = '# HELP a b\na{engine="0",x="} 9"} 1\na{engine="1"} 2.5\nb 1e3\n\n';
    expect([...parseMetrics(text)]).toEqual([
      ['a', 3.5],
      ['b', 1000],
    ]);
  });
});
