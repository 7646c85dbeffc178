import type { Approach, ImageSummary, Stamp } from '../domain/backup-set.ts';
import { HOLD_PURPOSES } from '../domain/purpose.ts';
import type { ImageReference } from '../domain/wire.ts';
import { fromCount, oneOf, present, toCount } from './codec-values.ts';
import type * as wire from './generated/agent.ts';

// What is said of operators' own backups: domain ↔ wire.

const APPROACHES: readonly Approach[] = ['journals', 'quiesce', 'freeze'];

export function toImageReference(value: wire.ImageReference | undefined): ImageReference {
  const { set, digest, approach } = present(value, 'image');
  return { set, digest, approach: oneOf(approach, APPROACHES, 'approach') };
}

export function fromStamp(id: number, stamp: Stamp): wire.Stamped {
  const { epoch, counter, heldBy, incarnation, stoppedAs } = stamp;
  return {
    id,
    epoch,
    counter,
    heldBy: heldBy === null ? undefined : { ...heldBy },
    incarnation,
    stoppedAs: stoppedAs ?? undefined,
  };
}

export function toStamp({ epoch, counter, heldBy, incarnation, stoppedAs }: wire.Stamped): Stamp {
  return {
    epoch,
    counter,
    heldBy:
      heldBy === undefined
        ? null
        : {
            operation: heldBy.operation,
            purpose: oneOf(heldBy.purpose, HOLD_PURPOSES, 'purpose'),
            checkpoint: heldBy.checkpoint,
          },
    incarnation,
    stoppedAs: stoppedAs ?? null,
  };
}

export function fromImageSummary(image: ImageSummary): wire.ImageSummary {
  return {
    digest: image.digest,
    engine: image.engine,
    dataIdentity: image.dataIdentity,
    files: fromCount(image.files),
    sizeBytes: fromCount(image.sizeBytes),
    firstJournalFile: image.firstJournalFile ?? undefined,
    journalFiles: [...image.journalFiles],
  };
}

export function toImageSummary(value: wire.ImageSummary | undefined): ImageSummary {
  const image = present(value, 'image');
  return {
    digest: image.digest,
    engine: image.engine,
    dataIdentity: image.dataIdentity,
    files: toCount(image.files),
    sizeBytes: toCount(image.sizeBytes),
    firstJournalFile: image.firstJournalFile ?? null,
    journalFiles: image.journalFiles,
  };
}
