import { describe, expect, it } from 'vitest';
import { resolveRevision } from '../compare/revision-tree.ts';

describe('resolveRevision', () => {
  it('refuses what git does not know, and takes no name for a flag', async () => {
    for (const name of ['no-such-revision-anywhere', '--all', '-h', '']) {
      await expect(resolveRevision(name, process.env)).rejects.toMatchObject({ code: 'usage' });
    }
  });
});
