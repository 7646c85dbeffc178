import { freeBytesAt } from '../../room-watch.ts';
import type { DefinedProcess } from '../../../shared/domain/grid.ts';
import { holdForRestore } from '../restore/unit.ts';
import { relocateUnsupported, type CheckpointContext, type Engine, type Parts } from '../engine.ts';
import { CopyFate } from './copy-fate.ts';
import { describeNative } from './describe.ts';
import { diagnoseNative } from './diagnose.ts';
import { NodeImages } from './images.ts';
import { withParticipant } from './link.ts';
import { LocalCheckpoint } from './local-checkpoint.ts';
import { readLocalCopy } from './local-copy.ts';
import { isProcessRunning, stopProcess } from './native-process.ts';
import { addMessage } from './messages.ts';
import { NativeGuardian } from './native-undo.ts';
import { NodeCopy } from './node-copy.ts';
import { NodeHold } from './node-hold.ts';
import { ObserverHold } from './observer-hold.ts';
import { Operation } from './operation.ts';
import {
  finishNativeRestore,
  nativeRestorePlace,
  NativeRestoration,
  rollBackNativeRestore,
} from './restoration.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import { settleNative } from './settle.ts';
import { NodeSuspension } from './suspension.ts';
import { StateCopy } from './state-copy.ts';
import { StateHold } from './state-hold.ts';

/** A process that takes part by itself, by the contract in proto/participant.proto. */
export function createNativeEngine(settings: NativeSettings): Engine {
  const underWay = new Set<CheckpointContext>();
  const fate = new CopyFate();
  return {
    describe: () => describeNative(settings, underWay.size > 0),
    freeBytes: () => freeBytesAt(settings.data),
    diagnose: () => diagnoseNative(settings),
    begin(context) {
      if (context.freezeKind === 'observer')
        return { hold: new ObserverHold(settings), copy: null, journal: null };
      underWay.add(context);
      return partsOf(settings, context, fate, () => void underWay.delete(context));
    },
    async undo(undo) {
      const guardian = new NativeGuardian(settings);
      try {
        return await guardian.undo(undo);
      } finally {
        await guardian.close();
      }
    },
    restoration: (context) => new NativeRestoration(settings, context),
    restorePlace: () => nativeRestorePlace(settings),
    recoverRestore: (outcome, switched) =>
      outcome === 'restored' ? finishNativeRestore(settings) : rollBackNativeRestore(settings, switched),
    localCopies: {
      settle: (context) => settleNative(settings, context, fate.keep(context.manifest.checkpoint)),
      read: (checkpoint) => readLocalCopy(settings, checkpoint),
      async drop(checkpoints) {
        for (const checkpoint of checkpoints) await new LocalCheckpoint(settings.data, checkpoint).remove();
      },
    },
    images: imagesOf(settings),
    archives: null,
    messages: settings.role === 'node' ? (line) => addMessage(settings, line) : null,
    realm:
      settings.role === 'realm-service' ? { relocate: (processes) => relocate(settings, processes) } : null,
    async stop(signal) {
      await stopProcess(settings, signal);
      if (settings.role !== 'proxy') await holdForRestore(settings, liveOf(settings));
    },
    isRunning: () => isProcessRunning(settings),
  };
}

function imagesOf(settings: NativeSettings): NodeImages | null {
  const { images } = settings;
  return images === undefined ? null : new NodeImages({ ...settings, images });
}

/** Only what is elsewhere than the definition says is changed. */
async function relocate(settings: NativeSettings, processes: readonly DefinedProcess[]): Promise<void> {
  await withParticipant(settings, async (participant) => {
    const { definition } = await participant.describe();
    if (definition === null) throw relocateUnsupported(settings.name);
    const { copysets, keepers, proxies, realmServices } = definition;
    const defined = [...copysets.flatMap(({ nodes }) => nodes), ...keepers, ...proxies, ...realmServices];
    const moved = processes.filter((process) => {
      const before = defined.find(({ name }) => name === process.name);
      return (
        before !== undefined &&
        (before.address !== process.address || before.dataDirectory !== process.dataDirectory)
      );
    });
    if (moved.length > 0) await participant.relocate(moved);
  });
}

/** The journal goes with the copy: it lies beside the process's live data, and so does the copy first. */
function partsOf(
  settings: NativeSettings,
  context: CheckpointContext,
  fate: CopyFate,
  ended: () => void,
): Parts {
  const operation = new Operation(settings, context, ended);
  const isCopied = context.assignment.part === 'whole';
  const { purpose } = context;
  if (settings.role === 'node') {
    const suspension =
      purpose.type === 'freeze' || purpose.type === 'quiesce'
        ? new NodeSuspension(operation, purpose.type === 'freeze' ? purpose.timeOutMs : 0)
        : null;
    const hold = new NodeHold(settings, context, { operation, isCopied, suspension });
    if (purpose.type !== 'checkpoint')
      return {
        hold,
        copy: null,
        journal: null,
        ...(purpose.type === 'freeze' && { suspension }),
        facts: () => hold.facts(),
      };
    const copy = new NodeCopy(settings, context, { operation, hold, fate });
    return { hold, copy: isCopied ? copy : null, journal: null };
  }
  const hold = new StateHold(settings, operation);
  const copy = new StateCopy(settings, context, { operation, hold, fate });
  return { hold, copy: isCopied ? copy : null, journal: null };
}
