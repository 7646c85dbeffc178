import { expect } from 'chai';
import { mustHaveReplicated } from '../../../agent/documents/replicated.ts';
import type { ArchivedCache } from '../../../agent/engines/infinispan/archive/archive.ts';

// Goal: a cache is said to be lost where it is, and not where clients began to fill it after the backup.

const archived = (entries: number): ArchivedCache[] => [
  { name: 'a', entries, sha256: '', contentSha256: '', sizeBytes: 0, configurationSha256: '' },
];
const has = (entries: number): ReadonlyMap<string, number> => new Map([['a', entries]]);

describe('the replicated caches in an archive', () => {
  it('are lost where they had entries before and after, and also where nobody knows what was before', () => {
    for (const before of [has(3), null])
      expect(() => mustHaveReplicated(archived(0), before, has(2))).to.throw('replicated and has 2 entries');
  });

  it('are all there where they were empty before or after, are not empty in it, or are not replicated', () => {
    mustHaveReplicated(archived(0), has(0), has(2));
    mustHaveReplicated(archived(0), new Map(), has(2));
    mustHaveReplicated(archived(0), has(2), has(0));
    mustHaveReplicated(archived(1), has(2), has(2));
    mustHaveReplicated(archived(0), null, new Map());
  });
});
