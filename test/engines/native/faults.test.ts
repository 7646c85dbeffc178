import { expect } from 'chai';
import { appendFileSync, chmodSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Capture } from '../../../agent/capture.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Fault } from '../../conformance/model/faults.ts';
import { smallDisk } from '../../repository/disks.ts';
import { until } from '../../lab/processes.ts';
import { beginCapture, token } from '../tested-capture.ts';
import { modelLab } from './model.ts';

// Goal: a process that does not keep the contract never becomes part of a valid checkpoint, where the agent can see it
// for itself. Method: the model node with one fault at a time, and rows written all the while.

/** Long enough for what a fault does in the freeze. */
const FREEZE_MS = 500;

/** What came of a whole capture: the proof's type, or the code of what failed. */
async function outcomeOf(fault: Fault | 'none'): Promise<{ outcome: string; left: unknown }> {
  const lab = await modelLab(fault);
  try {
    for (let row = 0; row < 20; row += 1) await lab.write();
    const { capture } = await beginCapture(lab.engine, lab.folder);
    const outcome = await captured(capture, () => void lab.write().catch(() => undefined)).catch(codeOf);
    await capture.abort();
    expect(lab.begun()).to.deep.equal([]);
    return { outcome, left: await lab.footprint() };
  } finally {
    await lab.remove();
  }
}

/** `late`: what happens when it has been frozen for long. */
async function captured(capture: Capture, write: () => void, late?: () => void): Promise<string> {
  await capture.prepare();
  write();
  await capture.arm(token());
  await capture.freeze(token());
  write();
  const from = performance.now();
  await until('the freeze to last', () => performance.now() - from > FREEZE_MS);
  late?.();
  const proof = await capture.thaw(token(), () => undefined);
  if (proof.type !== 'held') return proof.type;
  await capture.collect();
  return 'held';
}

function codeOf(error: unknown): string {
  if (error instanceof StillpointError) return error.failure.code;
  throw error;
}

describe('the engine of a process that breaks the contract', function () {
  const cases: [Fault | 'none', string, string][] = [
    ['none', 'held', 'takes one that keeps it'],
    ['journal-grows-in-the-freeze', 'broken', 'sees a journal that grew while it was held'],
    ['resumes-early', 'alreadyResumed', 'hears of a freeze that ended before the thaw'],
    ['changes-its-incarnation', 'member-restarted', 'takes another incarnation for another process'],
    ['changes-a-closed-journal-file', 'journal-changed', 'sees a closed journal file that changed'],
  ];
  for (const [fault, expected, what] of cases) {
    it(what, async () => {
      const { outcome, left } = await outcomeOf(fault);
      expect(outcome).to.equal(expected);
      expect(left).to.have.nested.property('held.quiesced', false);
    });
  }

  it('holds a process of which nothing is copied, sees a journal that grew, and lays nothing beside the data', async () => {
    const lab = await modelLab();
    const journal = join(lab.settings.data, 'live/journal');
    const assignment = { hold: 'member', part: 'none' } as const;
    try {
      for (const [written, expected] of [
        ['', 'held'],
        ['more', 'broken'],
      ] as const) {
        const { capture, artifacts } = await beginCapture(lab.engine, lab.folder, { assignment });
        const grow = (): void =>
          appendFileSync(join(journal, readdirSync(journal).toSorted().at(-1) ?? ''), written);
        expect(await captured(capture, () => void lab.write().catch(() => undefined), grow)).to.equal(
          expected,
        );
        expect(lab.begun()).to.deep.equal([]);
        expect(artifacts.files.size).to.equal(0);
        await capture.abort();
      }
    } finally {
      await lab.remove();
    }
  });

  // Only root may mount a disk that is too small.
  if (process.getuid?.() === 0) {
    it('gives up where there is no room beside the data, and leaves nothing there', async () => {
      const lab = await modelLab();
      const disk = smallDisk(64 * 1024);
      try {
        chmodSync(disk.path, 0o700);
        symlinkSync(disk.path, join(lab.settings.data, 'checkpoints'));
        writeFileSync(join(lab.settings.data, 'live/large'), Buffer.alloc(1_000_000, 1));
        const { capture } = await beginCapture(lab.engine, lab.folder);
        expect(await captured(capture, () => undefined).catch(codeOf)).to.equal('host-disk-full');
        await capture.abort();
        await lab.write();
        expect(lab.begun()).to.deep.equal([]);
      } finally {
        disk.remove();
        await lab.remove();
      }
    });
  }
});
