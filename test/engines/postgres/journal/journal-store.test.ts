import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ArtifactSink } from '../../../../agent/engines/engine.ts';
import { JournalStore } from '../../../../agent/engines/postgres/journal/journal-store.ts';
import { segmentName } from '../../../../agent/engines/postgres/journal/lsn.ts';

const SEGMENT = 1024 * 1024;

describe('the store of received journal files', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'stillpoint-test-'));
    for (const segment of [1n, 2n, 3n])
      writeFileSync(
        join(directory, segmentName(segment, 1, SEGMENT)),
        Buffer.alloc(SEGMENT, Number(segment)),
      );
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('has nothing from before the base copy, also where the files came late and had to stay for the mark', async () => {
    const stored: string[] = [];
    const artifacts = {
      async file({ path }: { path: string }, bytes: AsyncIterable<Uint8Array>) {
        for await (const block of bytes) expect(block.length).to.be.greaterThan(0);
        stored.push(path);
      },
    } as unknown as ArtifactSink;
    const store = new JournalStore({
      artifacts,
      files: { directory, timeline: 1, segmentBytes: SEGMENT },
      from: BigInt(SEGMENT),
      serverVersion: 150000,
      keepsPrepared: false,
      failed: (error) => expect.fail(String(error)),
    });

    store.startsAt(BigInt(2 * SEGMENT + 0x28));
    // The receiver is still in the file before.
    store.keepFrom(BigInt(SEGMENT + 0x100));
    for (const segment of [1n, 2n]) store.filled(segment);
    await store.finish(BigInt(3 * SEGMENT + 0x40));

    expect(stored).to.deep.equal([2n, 3n].map((segment) => `journal/${segmentName(segment, 1, SEGMENT)}`));
  });
});
