import { expect } from 'chai';
import {
  appendFileSync,
  chmodSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
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
  ];
  for (const [fault, expected, what] of cases) {
    it(what, async () => {
      const { outcome, left } = await outcomeOf(fault);
      expect(outcome).to.equal(expected);
      expect(left).to.have.nested.property('held.quiesced', false);
    });
  }

  for (const [fault, what] of [
    ['has-a-socket-in-live', 'live/s of model-1a is a socket'],
    ['has-a-link-in-live', 'live/current of model-1a is a link'],
  ] as const) {
    it(`is refused by name before anything is begun, where it ${fault.replaceAll('-', ' ')}`, async () => {
      const lab = await modelLab(fault);
      try {
        const { problems } = await lab.engine.describe(AbortSignal.timeout(10_000));
        expect(problems.map(({ code }) => code)).to.deep.equal(['unsupported-file']);
        expect(problems[0]?.message).to.contain(what);
        expect(problems[0]?.hint).to.contain('beside live/');
      } finally {
        await lab.remove();
      }
    });
  }

  for (const [what, change] of [
    ['written again, in its length', (path: string) => writeFileSync(path, '#', { flag: 'r+' })],
    ['longer', (path: string) => appendFileSync(path, 'more')],
    ['shorter', (path: string) => truncateSync(path, 1)],
  ] as const) {
    it(`takes no journal file that is ${what} after the mark`, async () => {
      const lab = await modelLab();
      try {
        await lab.write();
        const { capture } = await beginCapture(lab.engine, lab.folder);
        await capture.prepare();
        await lab.write();
        await capture.arm(token());
        const { mark } = await capture.freeze(token());
        expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
        // The clock of the file system has moved on.
        const closed = join(lab.settings.data, 'live/journal', mark?.journalFile ?? '');
        const { mtimeMs } = statSync(closed);
        await until('the next tick of the file system', () => Date.now() > mtimeMs + 20);
        change(closed);
        expect(await capture.collect().catch(codeOf)).to.equal('journal-changed');
        await capture.abort();
        expect(lab.begun()).to.deep.equal([]);
      } finally {
        await lab.remove();
      }
    });
  }

  it('cuts a journal file that is longer than what is in it at the mark, and keeps it when it is used again', async () => {
    const lab = await modelLab('none', 'preallocates');
    try {
      for (let row = 0; row < 20; row += 1) await lab.write();
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder);
      await capture.prepare();
      // These are in no database file that was copied.
      for (let row = 0; row < 5; row += 1) await lab.write();
      await capture.arm(token());
      await capture.freeze(token());
      expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
      const { mark } = await capture.collect();
      const [, length] = mark?.position.split(':') ?? [];
      const path = `data/journal/${mark?.journalFile ?? ''}`;
      const stored = artifacts.files.get(path)?.bytes;
      expect(stored?.length).to.equal(Number(length)).and.to.be.greaterThan(0);
      expect(stored?.toString()).to.match(/^(\d+\n)+$/);
      expect(
        statSync(join(lab.settings.data, 'live/journal', mark?.journalFile ?? '')).size,
      ).to.be.greaterThan(Number(length));
      // Nothing that the process does with its file from now on is of the checkpoint.
      const kept = join(lab.settings.data, 'checkpoints', lab.begun()[0] ?? '', path);
      writeFileSync(join(lab.settings.data, 'live/journal', mark?.journalFile ?? ''), 'used again');
      expect(readFileSync(kept)).to.deep.equal(stored);
      await capture.abort();
    } finally {
      await lab.remove();
    }
  });

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
