/** One stage between two links that the test holds: what it takes, passes on, ignores and refuses. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { KV_FORMAT_VERSION } from '../../../wasm/host/kv-format.ts';
import { createStageRuntime } from '../../../wasm/host/stage-runtime.ts';
import type { StageAssignment } from '../../model/assignment.ts';
import { RuntimeHost } from '../../model/runtime-host.ts';
import type { FrameLink } from '../../platform/link.ts';
import { createLocalLinkPair } from '../../platform/local/local-link.ts';
import { MemoryPageStore } from '../../platform/memory-page-store.ts';
import { systemClock, systemEntropy } from '../../platform/system.ts';
import { tinyRings } from '../../test/tiny-ring.ts';
import { decodeFrame } from '../decode-frame.ts';
import { encodeFrame } from '../encode-frame.ts';
import { FRAME_VERSION, HEADER, type Frame, type HelloFrame, type StepFrame, type WelcomeStatus } from '../frame.ts';
import { INBOUND_EPOCHS_MAX, UNGREETED_LINKS_MAX } from '../handshake.ts';
import { RING_TIMINGS, type OpenStageRequest, type RingTimings } from '../ring-protocol.ts';
import { StageNode } from '../stage-node.ts';

const rings = await tinyRings();
const kernels = await loadKernels();
const [, assignment, lastAssignment] = (await rings.open({ stageCount: 3 })).assignments as [
  StageAssignment,
  StageAssignment,
  StageAssignment,
];
const HIDDEN_SIZE = 64;

/** What a link brought, and whether it is still open. */
class Recorder {
  readonly frames: Frame[] = [];
  closeReason: string | null = null;
  readonly link: FrameLink;

  constructor(link: FrameLink) {
    this.link = link;
    link.attach({
      onFrame: (bytes) => void this.frames.push(decodeFrame(bytes)),
      onClose: (reason) => (this.closeReason = reason),
    });
  }
}

function welcomeOf(status: WelcomeStatus, epoch = 1): Uint8Array<ArrayBuffer> {
  return encodeFrame({ kind: 'welcome', epoch, status });
}

/** A frame as a stage of another version would send it, for all that anybody knows. */
function ofVersion(bytes: Uint8Array<ArrayBuffer>, version: number): Uint8Array<ArrayBuffer> {
  new DataView(bytes.buffer).setUint16(HEADER.version, version, true);
  return bytes;
}

interface Fixture {
  readonly node: StageNode;
  /** The far end of each link that the stage opened to its successor. */
  readonly next: Recorder[];
}

function createNode(
  timings: Partial<RingTimings> = {},
  answer?: () => Uint8Array<ArrayBuffer>,
  own: StageAssignment = assignment,
): Fixture {
  const next: Recorder[] = [];
  const createRuntime = (options: Parameters<typeof createStageRuntime>[1]): ReturnType<typeof createStageRuntime> =>
    createStageRuntime(kernels, options);
  const node = new StageNode({
    assignment: own,
    owner: 'test',
    host: new RuntimeHost({ assignment: own, createRuntime, clock: systemClock, entropy: systemEntropy }),
    assets: rings.assets,
    connectNext: () => {
      const [near, far] = createLocalLinkPair(systemClock);
      const recorder = new Recorder(far);
      next.push(recorder);
      void poll(() => recorder.frames.length > 0).then(() =>
        far.send(answer?.() ?? welcomeOf('accepted', recorder.frames[0]?.epoch)),
      );
      return Promise.resolve(near);
    },
    clock: systemClock,
    pageStore: new MemoryPageStore({ clock: systemClock }),
    timings: { ...RING_TIMINGS, ...timings },
  });
  return { node, next };
}

const POLLS_MAX = 20_000;

async function poll(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < POLLS_MAX; i++) {
    if (isDone()) {
      return;
    }
    await systemClock.yieldToEvents();
  }
  throw new Error('the condition did not come true');
}

function connect(node: StageNode): Recorder {
  const [near, far] = createLocalLinkPair(systemClock);
  node.acceptLink(far);
  return new Recorder(near);
}

function hello(overrides: Partial<HelloFrame> = {}): Uint8Array<ArrayBuffer> {
  const { stageCount, manifestSha256 } = assignment;
  return encodeFrame({ kind: 'hello', epoch: 1, stageIndex: 0, stageCount, manifestSha256, ...overrides });
}

function openRequest(epoch: number): OpenStageRequest {
  const { stageIndex, stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax } = assignment;
  const versions = { protocolVersion: FRAME_VERSION, kvFormatVersion: KV_FORMAT_VERSION };
  return { epoch, ...versions, stageIndex, stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax };
}

function step(stepId: number, overrides: Partial<StepFrame> = {}): Uint8Array<ArrayBuffer> {
  return encodeFrame({
    kind: 'step',
    epoch: 1,
    stepId,
    hiddenSize: HIDDEN_SIZE,
    pageOperations: [],
    missing: [],
    sequences: [{ sequenceId: 1, startPosition: 0, numTokens: 2, pageTable: [3], resultRows: [1] }],
    hiddenStates: Float32Array.from({ length: 2 * HIDDEN_SIZE }, (_, i) => Math.sin(i)),
    ...overrides,
  });
}

/** A stage with links on both sides in epoch 1. */
async function openNode(
  timings?: Partial<RingTimings>,
): Promise<Fixture & { previous: Recorder; following: Recorder }> {
  const fixture = createNode(timings);
  const previous = connect(fixture.node);
  previous.link.send(hello());
  expect(await fixture.node.openStage(openRequest(1))).toMatchObject({
    ok: true,
    value: { layerStart: 2, layerEnd: 4 },
  });
  await poll(() => previous.frames.length > 0);
  return { ...fixture, previous, following: fixture.next[0] as Recorder };
}

const stepsOf = ({ frames }: Recorder): number[] =>
  frames.flatMap((frame) => (frame.kind === 'step' ? [frame.stepId] : []));

describe('a hello', () => {
  it.each([
    ['of another model', { manifestSha256: 'f'.repeat(64) }, 'manifest_mismatch'],
    ['of a stage that is not the one before', { stageIndex: 2 }, 'wrong_neighbour'],
    ['of a ring of another size', { stageCount: 4 }, 'wrong_neighbour'],
  ] as const)('%s is refused', async (_name, overrides, status) => {
    const previous = connect(createNode().node);
    previous.link.send(hello(overrides));
    await poll(() => previous.closeReason !== null);
    expect(previous.frames).toEqual([{ kind: 'welcome', epoch: 1, status }]);
  });

  it('of another version is told so', async () => {
    const previous = connect(createNode().node);
    previous.link.send(ofVersion(hello(), FRAME_VERSION + 1));
    await poll(() => previous.closeReason !== null);
    expect(previous.frames).toEqual([{ kind: 'welcome', epoch: 1, status: 'version_mismatch' }]);
  });

  it.each([
    ['another frame', step(1)],
    ['no frame at all', new Uint8Array(100)],
  ])('that is %s closes the link', async (_name, bytes) => {
    const previous = connect(createNode().node);
    previous.link.send(bytes);
    await poll(() => previous.closeReason !== null);
    expect(previous.frames).toEqual([]);
  });

  it('that never comes closes the link', async () => {
    const previous = connect(createNode({ helloDeadlineMs: 5 }).node);
    await poll(() => previous.closeReason !== null);
    expect(previous.closeReason).toBe('no hello');
  });

  it('is waited for on so many links and no more', async () => {
    const { node } = createNode();
    const links = Array.from({ length: UNGREETED_LINKS_MAX + 1 }, () => connect(node));
    await poll(() => links.at(-1)?.closeReason !== null);
    expect(links.filter(({ closeReason }) => closeReason === null)).toHaveLength(UNGREETED_LINKS_MAX);
    links[0]?.link.send(hello());
    await poll(() => links[0]?.frames.length === 1);
    const another = connect(node);
    another.link.send(hello({ epoch: 2 }));
    await poll(() => another.frames.length === 1);
  });

  it('of so many epochs is kept, then the oldest is let go', async () => {
    const { node } = createNode();
    const links: Recorder[] = [];
    for (let epoch = 1; epoch <= INBOUND_EPOCHS_MAX + 1; epoch++) {
      const link = connect(node);
      link.link.send(hello({ epoch }));
      await poll(() => link.frames.length === 1);
      links.push(link);
    }
    await poll(() => links[0]?.closeReason !== null);
    expect(links.slice(1).every(({ closeReason }) => closeReason === null)).toBe(true);
  });
});

describe('a step on its way', () => {
  it('differs in nothing but its hidden states from the one that came', async () => {
    const { previous, following } = await openNode();
    const sent = decodeFrame(step(1)) as StepFrame;
    previous.link.send(step(1));
    await poll(() => stepsOf(following).length === 1);
    const passedOn = following.frames.at(-1) as StepFrame;
    expect({ ...passedOn, hiddenStates: null }).toEqual({ ...sent, hiddenStates: null });
    expect(passedOn.hiddenStates).not.toEqual(sent.hiddenStates);
  });

  it('tells of a page that this stage does not have', async () => {
    const { previous, following } = await openNode();
    const key = { tenant: 'a'.repeat(32), hash: 'b'.repeat(32) };
    previous.link.send(step(1, { pageOperations: [{ kind: 'restore', page: 7, key }] }));
    await poll(() => stepsOf(following).length === 1);
    expect(following.frames.at(-1)).toMatchObject({ missing: [0] });
  });
});

describe('the memory of a frame', () => {
  it('is given back where the step ends, not when a collector comes', async () => {
    const { node, next } = createNode({}, undefined, lastAssignment);
    const [near, far] = createLocalLinkPair(systemClock);
    const taken: Uint8Array[] = [];
    node.acceptLink({
      send: (bytes) => far.send(bytes),
      close: (reason) => far.close(reason),
      attach: (handlers) =>
        far.attach({
          onFrame: (bytes) => {
            taken.push(bytes);
            handlers.onFrame(bytes);
          },
          onClose: (reason) => handlers.onClose(reason),
        }),
    });
    near.send(hello({ stageIndex: 1 }));
    await node.openStage({ ...openRequest(1), stageIndex: 2 });
    const numTokens = assignment.numTokensMax;
    const sequence = { sequenceId: 1, startPosition: 0, numTokens, pageTable: [0, 1, 2, 3], resultRows: [] };
    const hiddenStates = Float32Array.from({ length: numTokens * HIDDEN_SIZE }, (_, i) => Math.sin(i));
    near.send(step(1, { sequences: [sequence], hiddenStates }));
    near.send(step(2));
    await poll(() => (next[0] as Recorder).frames.filter(({ kind }) => kind === 'result').length === 2);
    // Hello, a large frame, and a small one that a collector may have.
    expect(taken.map(({ byteLength }) => byteLength > 0)).toEqual([true, false, true]);
  });
});

describe('an open call', () => {
  it.each([
    ['stageIndex', 'wrong_assignment', false],
    ['protocolVersion', 'version_skew', true],
    ['kvFormatVersion', 'version_skew', true],
    ['stageCount', 'version_skew', true],
    ['numPages', 'version_skew', true],
    ['numTokensMax', 'version_skew', true],
    ['contextLengthMax', 'version_skew', true],
  ] as const)('that has another %s is refused by name', async (name, code, retryable) => {
    const { node } = createNode();
    const result = await node.openStage({ ...openRequest(1), [name]: 77 });
    expect(result).toMatchObject({ ok: false, error: { code, retryable } });
    expect(result.ok ? '' : result.error.message).toContain(name);
  });

  it('of another model waits for the deployment to end', async () => {
    const result = await createNode().node.openStage({ ...openRequest(1), manifestSha256: 'f'.repeat(64) });
    expect(result).toMatchObject({ ok: false, error: { code: 'version_skew', retryable: true } });
  });

  it.each([
    [
      'speaks another version',
      (welcome: Uint8Array<ArrayBuffer>) => ofVersion(welcome, FRAME_VERSION + 1),
      'version_skew',
    ],
    ['spoke an older one', (welcome: Uint8Array<ArrayBuffer>) => ofVersion(welcome, FRAME_VERSION - 1), 'version_skew'],
    ['answers nonsense', () => new Uint8Array(64), 'link'],
    ['has another model', () => welcomeOf('manifest_mismatch'), 'version_skew'],
    ['takes this stage for another one', () => welcomeOf('wrong_neighbour'), 'link'],
  ] as const)('ends with its reason when the next stage %s', async (_name, answer, code) => {
    const { node } = createNode({}, () => answer(welcomeOf('accepted')));
    connect(node).link.send(hello());
    expect(await node.openStage(openRequest(1))).toMatchObject({ ok: false, error: { code, retryable: true } });
  });

  it('of a newer epoch ends the one before', async () => {
    const { node, previous, following, next } = await openNode();
    const newer = connect(node);
    newer.link.send(hello({ epoch: 2 }));
    expect(await node.openStage(openRequest(2))).toMatchObject({ ok: true });
    await poll(() => previous.closeReason !== null && following.closeReason !== null);
    expect(newer.closeReason).toBeNull();
    newer.link.send(step(1, { epoch: 2 }));
    await poll(() => stepsOf(next[1] as Recorder).length === 1);
  });

  it('that is overtaken says so', async () => {
    const { node } = createNode();
    const [first, second] = await Promise.all([node.openStage(openRequest(1)), node.openStage(openRequest(2))]);
    expect(first).toMatchObject({ ok: false, error: { code: 'superseded', retryable: true } });
    expect(second).toMatchObject({ ok: true });
    expect(node.isOpen).toBe(true);
  });
});

describe('a step', () => {
  it('is computed and passed on, once however often it comes', async () => {
    const { previous, following } = await openNode();
    const [first, second] = [step(1), step(2)];
    for (const bytes of [first, first, second, first, second]) {
      previous.link.send(bytes);
    }
    await poll(() => stepsOf(following).length === 2);
    const [, passedOn] = following.frames as [Frame, StepFrame];
    const sent = decodeFrame(first) as StepFrame;
    expect(passedOn).toMatchObject({ ...sent, hiddenStates: expect.anything() as unknown });
    expect(passedOn.hiddenStates).not.toEqual(sent.hiddenStates);
    await poll(() => previous.frames.length === 1);
    expect(stepsOf(following)).toEqual([1, 2]);
  });

  it('of an epoch that is not current is dropped', async () => {
    const { node, previous, following } = await openNode();
    const stale = connect(node);
    stale.link.send(hello({ epoch: 9 }));
    stale.link.send(step(1, { epoch: 9 }));
    previous.link.send(step(1));
    await poll(() => stepsOf(following).length === 1);
    expect(following.frames.map(({ epoch }) => epoch)).toEqual([1, 1]);
    expect(node.isOpen).toBe(true);
  });

  const hiddenStates = new Float32Array(2 * HIDDEN_SIZE);
  const sequence = { sequenceId: 1, startPosition: 0, numTokens: 2, pageTable: [3], resultRows: [] };
  const rowsMax = assignment.numTokensMax + 1;
  it.each([
    ['comes after a gap', step(2)],
    ['names a page that does not exist', step(1, { sequences: [{ ...sequence, pageTable: [assignment.numPages] }] })],
    [
      'has another hidden size',
      step(1, { hiddenSize: HIDDEN_SIZE / 2, hiddenStates: hiddenStates.slice(HIDDEN_SIZE) }),
    ],
    [
      'has too many tokens',
      step(1, {
        sequences: [{ ...sequence, numTokens: rowsMax, pageTable: [0, 1, 2, 3, 4] }],
        hiddenStates: new Float32Array(rowsMax * HIDDEN_SIZE),
      }),
    ],
    [
      'is beyond the context',
      step(1, { sequences: [{ ...sequence, startPosition: 511, pageTable: Array.from({ length: 33 }, () => 0) }] }),
    ],
    ['says another epoch than its link', step(1, { epoch: 2 })],
    [
      'is a result',
      encodeFrame({
        kind: 'result',
        epoch: 1,
        stepId: 1,
        hiddenSize: HIDDEN_SIZE,
        numPageOperations: 0,
        missing: [],
        hiddenStates,
      }),
    ],
    ['is no frame', new Uint8Array(64)],
  ])('that %s ends the epoch on both sides', async (_name, bytes) => {
    const { node, previous, following } = await openNode();
    previous.link.send(bytes);
    await poll(() => previous.closeReason !== null && following.closeReason !== null);
    expect(node.isOpen).toBe(false);
    expect(node.lastClose).toContain('stage 1 failed');
    expect(stepsOf(following)).toEqual([]);
  });
});

describe('a stage that hears nothing', () => {
  it('gives its links up', async () => {
    const { node, previous, following } = await openNode({ stageIdleCloseMs: 10 });
    await poll(() => previous.closeReason !== null && following.closeReason !== null);
    expect(node.isOpen).toBe(false);
    expect(await node.openStage(openRequest(2))).toMatchObject({ ok: true });
  });

  it('ends with the link on either side', async () => {
    for (const side of ['previous', 'following'] as const) {
      const fixture = await openNode();
      fixture[side].link.close('gone');
      await poll(() => fixture.previous.closeReason !== null && fixture.following.closeReason !== null);
      expect(fixture.node.isOpen).toBe(false);
    }
  });
});
