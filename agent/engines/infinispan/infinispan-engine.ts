import type { CheckpointContext, Engine, MemberMemory, Parts } from '../engine.ts';
import { ArchiveCopy } from './copy/archive-copy.ts';
import { ClusterArchives } from './copy/cluster-archives.ts';
import { ClusterHold } from './hold/cluster-hold.ts';
import { FenceWitness } from './hold/fence-witness.ts';
import { HoldPace } from './hold/hold-pace.ts';
import { InfinispanGuardian } from './hold/undo.ts';
import { describeInfinispan } from './look/describe.ts';
import { diagnoseInfinispan } from './look/diagnose.ts';
import {
  infinispanRestorePlace,
  InfinispanRestoration,
  recoverInfinispanRestore,
} from './restore/restoration.ts';
import { RestoreTurn } from './restore/restore-turn.ts';
import { isServerRunning, stopServer } from './server-process.ts';
import type { InfinispanSettings } from './settings.ts';

/** A server of an Infinispan cluster, which is held and copied once, through the one that coordinates it. */
export function createInfinispanEngine(settings: InfinispanSettings, memory?: MemberMemory): Engine {
  const pace = new HoldPace(memory);
  /** Checkpoints that have the cluster, from here or from the host of another server. */
  const underWay = new Set<CheckpointContext>();
  const turn = new RestoreTurn();
  const looking = (signal: AbortSignal) => ({ signal, isOurs: underWay.size > 0, pace });
  return {
    describe: (signal) => describeInfinispan(settings, looking(signal)),
    diagnose: (signal) => diagnoseInfinispan(settings, looking(signal)),
    // What it writes to its disk is no journal, and is not waited for.
    freeBytes: () => Promise.resolve(null),
    begin(context) {
      underWay.add(context);
      return partsOf(settings, context, pace, () => void underWay.delete(context));
    },
    async undo(undo) {
      const guardian = new InfinispanGuardian(settings);
      try {
        return await guardian.undo(undo);
      } finally {
        await guardian.close();
      }
    },
    restoration: (context) => new InfinispanRestoration(settings, context, turn),
    restorePlace: () => infinispanRestorePlace(settings),
    async recoverRestore(outcome) {
      await recoverInfinispanRestore(settings, outcome);
      turn.end();
    },
    localCopies: null,
    images: null,
    archives: new ClusterArchives(settings),
    messages: null,
    realm: null,
    stop: (signal) => stopServer(settings, signal),
    isRunning: () => isServerRunning(settings),
  };
}

function partsOf(
  settings: InfinispanSettings,
  context: CheckpointContext,
  pace: HoldPace,
  ended: () => void,
): Parts {
  if (context.assignment.hold === 'none')
    return { hold: null, copy: null, journal: new FenceWitness(settings, ended) };
  const isCopied = context.assignment.part === 'whole';
  const hold = new ClusterHold(settings, context, { pace, isCopied, ended });
  return { hold, copy: isCopied ? new ArchiveCopy(hold, context, pace) : null, journal: null };
}
