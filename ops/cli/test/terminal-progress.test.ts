import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { terminalProgress } from '../ui/terminal-progress.ts';

/** A stream that says whether it is a terminal, and keeps what was written. */
const fakeStream = (isTTY: boolean) => {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 100, cursorTo: () => true, clearLine: () => true });
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
};

const run = (isTTY: boolean): string => {
  const { stream, text } = fakeStream(isTTY);
  const progress = terminalProgress(stream, () => 0);
  const step = progress.step('Download');
  step.total(2_000_000, 'bytes');
  step.update(500_000);
  progress.warn('the first source failed');
  step.note('second source');
  step.done('2.0 MB');
  progress.step('Convert').failed();
  return text();
};

/** Text without what moves the cursor or colours. */
const plain = (text: string): string =>
  text.replaceAll(new RegExp(`${String.fromCodePoint(27)}(\\[[0-9;?]*[A-Za-z]|[78])`, 'g'), '');

describe('terminalProgress', () => {
  it('writes one line for a step, and no bar, where nobody looks', () => {
    expect(run(false)).toBe(
      [
        '! the first source failed',
        '✔ Download                       2.0 MB 0 ms',
        '✘ Convert                        failed 0 ms',
        '',
      ].join('\n'),
    );
  });

  it('draws a bar on a terminal, and goes on with it below a line that comes between', () => {
    const [before = '', after = ''] = plain(run(true)).split('! the first source failed\n');
    expect(before).toContain('  Download                       ░');
    expect(after).toContain('██████░░░░░░░░░░░░░░░░░░ 500.0 kB of 2.0 MB');
    expect(after).toContain('✔ Download                       2.0 MB 0 ms\n');
  });
});
