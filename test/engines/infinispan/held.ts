import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from '../../../agent/capture.ts';
import type { CheckpointContext, Undo } from '../../../agent/engines/engine.ts';
import { ArchiveCopy } from '../../../agent/engines/infinispan/copy/archive-copy.ts';
import type { ClusterFacts } from '../../../agent/engines/infinispan/copy/facts.ts';
import { ClusterHold } from '../../../agent/engines/infinispan/hold/cluster-hold.ts';
import { HoldPace } from '../../../agent/engines/infinispan/hold/hold-pace.ts';
import { InfinispanGuardian } from '../../../agent/engines/infinispan/hold/undo.ts';
import { FOR_CHECKPOINT } from '../../../shared/domain/purpose.ts';
import { MemorySink } from '../memory-sink.ts';
import { CHECKPOINT } from '../tested-capture.ts';

/** A hold of a cluster and what is copied in it, with an undo that another process could read. */
export interface Held {
  readonly capture: Capture;
  readonly artifacts: MemorySink;
  readonly spoolDirectory: string;
  readonly waitedFor: readonly string[];
  undo(): Undo | null;
  facts(): Promise<ClusterFacts>;
  /** As the guard does, when this process is dead. */
  undoAsGuard(): Promise<void>;
}

interface HoldOptions {
  readonly maxHoldSeconds?: number;
  readonly pace?: HoldPace;
  readonly context?: Partial<CheckpointContext>;
  readonly isCopied?: boolean;
  /** Of the first server: by its process a new run of it is seen. */
  readonly root?: string;
}

let spools = 0;

/** Through the first of these servers. */
export function beginHold(urls: readonly string[], folder: string, options: HoldOptions = {}): Held {
  spools += 1;
  const spoolDirectory = join(folder, `spool-${spools}`);
  mkdirSync(spoolDirectory, { recursive: true });
  const artifacts = new MemorySink();
  const waitedFor: string[] = [];
  let saved: Undo | null = null;
  const { isCopied = true, pace = new HoldPace(), maxHoldSeconds = 30 } = options;
  const assignment = { hold: 'lead', part: isCopied ? 'whole' : 'none' } as const;
  const context: CheckpointContext = {
    assignment,
    freezeKind: 'fenced',
    checkpoint: CHECKPOINT,
    purpose: FOR_CHECKPOINT,
    maintenance: false,
    leaseMs: () => 60_000,
    spoolDirectory,
    artifacts,
    progress: () => undefined,
    lost: () => undefined,
    waitsFor: (cause) => void waitedFor.push(cause),
    saveUndo: (undo) => {
      saved = undo === null ? null : (JSON.parse(JSON.stringify(undo)) as Undo);
      return Promise.resolve();
    },
    reach: () => Promise.resolve(),
    step: () => undefined,
    ...options.context,
  };
  const [url = '', ...peers] = urls;
  const { root } = options;
  const settings = { url, peers, container: 'default', maxHoldSeconds, ...(root !== undefined && { root }) };
  const hold = new ClusterHold(settings, context, { pace, isCopied, ended: () => undefined });
  const copy = isCopied ? new ArchiveCopy(hold, context, pace) : null;
  const capture = new Capture({ hold, copy, journal: null }, assignment, context.purpose);
  return {
    capture,
    artifacts,
    spoolDirectory,
    waitedFor,
    undo: () => saved,
    facts: async () => (await capture.collect()).engineFacts as ClusterFacts,
    async undoAsGuard() {
      const guardian = new InfinispanGuardian(settings);
      if (saved !== null) await guardian.undo(saved);
      await guardian.close();
    },
  };
}
