import { freeBytesAt } from '../../room-watch.ts';
import type { DefinedProcess } from '../../../shared/domain/grid.ts';
import { holdForRestore } from '../restore/unit.ts';
import { relocateUnsupported, type Capture, type CaptureContext, type Engine } from '../engine.ts';
import { CopyFate } from './copy-fate.ts';
import { describeNative, freezeKindOf } from './describe.ts';
import { diagnoseNative } from './diagnose.ts';
import { EmptyCapture } from './empty-capture.ts';
import { withParticipant } from './link.ts';
import { LocalCheckpoint } from './local-checkpoint.ts';
import { readLocalCopy } from './local-copy.ts';
import { isProcessRunning, stopProcess } from './native-process.ts';
import { NativeGuardian } from './native-undo.ts';
import { NodeCapture } from './node-capture.ts';
import {
  finishNativeRestore,
  nativeRestorePlace,
  NativeRestoration,
  rollBackNativeRestore,
} from './restoration.ts';
import { liveOf, type NativeSettings } from './settings.ts';
import { settleNative } from './settle.ts';
import { StateCapture } from './state-capture.ts';

/** A process that takes part by itself, by the contract in proto/participant.proto. */
export function createNativeEngine(settings: NativeSettings): Engine {
  let isObserver = freezeKindOf(settings.role, true) === 'observer';
  const underWay = new Set<Capture>();
  const fate = new CopyFate();
  const captureOf = (context: CaptureContext): Capture => {
    if (isObserver) return new EmptyCapture(settings);
    return settings.role === 'node'
      ? new NodeCapture(settings, context, fate)
      : new StateCapture(settings, context, fate);
  };
  return {
    async describe() {
      const description = await describeNative(settings, underWay.size > 0);
      isObserver = description.freezeKind === 'observer';
      return description;
    },
    freeBytes: () => freeBytesAt(settings.data),
    diagnose: () => diagnoseNative(settings),
    capture(context) {
      const capture = captureOf(context);
      underWay.add(capture);
      return endingWith(capture, () => underWay.delete(capture));
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
    realm:
      settings.role === 'realm-service' ? { relocate: (processes) => relocate(settings, processes) } : null,
    async stop(signal) {
      await stopProcess(settings, signal);
      if (settings.role !== 'proxy') await holdForRestore(settings, liveOf(settings));
    },
    isRunning: () => isProcessRunning(settings),
  };
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

function endingWith(capture: Capture, ended: () => void): Capture {
  return {
    prepare: () => capture.prepare(),
    arm: (token) => capture.arm(token),
    disarm: () => capture.disarm(),
    freeze: (token) => capture.freeze(token),
    thaw: (token, released) => capture.thaw(token, released),
    collect: (token) => capture.collect(token),
    abort: () => capture.abort().finally(ended),
    close: () => capture.close().finally(ended),
  };
}
