import { FOR_CHECKPOINT } from '../../shared/domain/purpose.ts';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BY_ITSELF, type Assignment } from '../../shared/domain/assignment.ts';
import { Capture } from '../../agent/capture.ts';
import type { CheckpointContext, Engine, Undo } from '../../agent/engines/engine.ts';
import type { Token } from '../../shared/domain/token.ts';
import { MemorySink } from './memory-sink.ts';

export const CHECKPOINT = '20261120T120000.123Z_00000000_00000007_nightly';

/** For a test of what holds a member: its data is not copied, which would be most of the work. */
export const HELD_ALONE: Assignment = { hold: 'member', part: 'none' };

export function token(attempt = 1): Token {
  return { epoch: 0, counter: 7, attempt };
}

/** A capture with a spool and a sink of its own, and the undos that it saved. */
export interface TestedCapture {
  readonly capture: Capture;
  readonly artifacts: MemorySink;
  /** What is on disk, so to speak, when the agent is killed now. */
  undo(): Undo | null;
}

let spools = 0;

export async function beginCapture(
  engine: Engine,
  folder: string,
  change: Partial<CheckpointContext> = {},
): Promise<TestedCapture> {
  const { freezeKind } = await engine.describe(AbortSignal.timeout(10_000));
  spools += 1;
  const spoolDirectory = join(folder, `spool-${spools}`);
  mkdirSync(spoolDirectory);
  const artifacts = new MemorySink();
  let saved: Undo | null = null;
  const { assignment = BY_ITSELF } = change;
  const parts = engine.begin({
    assignment,
    freezeKind,
    checkpoint: CHECKPOINT,
    maintenance: false,
    purpose: FOR_CHECKPOINT,
    leaseMs: () => 10_000,
    spoolDirectory,
    artifacts,
    progress: () => undefined,
    lost: () => undefined,
    waitsFor: () => undefined,
    saveUndo: (undo) => {
      // As it is read from disk by another process.
      saved = undo === null ? null : (JSON.parse(JSON.stringify(undo)) as Undo);
      return Promise.resolve();
    },
    reach: () => Promise.resolve(),
    step: () => undefined,
    ...change,
  });
  return { capture: new Capture(parts, assignment, change.purpose), artifacts, undo: () => saved };
}
