import { randomUUID } from 'node:crypto';
import {
  DEFAULT_STORAGE,
  readKept,
  type AppliedDocument,
  type KeptDocument,
  type Status,
} from '../../shared/documents/document.ts';
import { quantityOf, readQuantity } from '../../shared/documents/quantity.ts';
import type { Reference } from './document-store.ts';
import { backupNotReady, backupUnknown, beingDeleted, noQuota, tooMany } from './failures.ts';
import { clusterNamed, limitOf, storageClassNamed } from './places.ts';
import type { DocumentSettings } from './settings.ts';

/** As many as an agent keeps. */
const MOST_DOCUMENTS = 1000;

interface AdmissionInput {
  readonly settings: DocumentSettings;
  readonly kept: {
    all(): readonly KeptDocument[];
    get(reference: Reference): KeptDocument | undefined;
  };
  /** Of a Restore: its Backup, as the agent told it that made it; else empty. */
  readonly backup: string;
  readonly now: Date;
}

/** A document that is new here, as it is kept from now on. Throws where it can never be carried out. */
export function admit(document: AppliedDocument, input: AdmissionInput): KeptDocument {
  const { settings, kept, now } = input;
  if (kept.all().length >= MOST_DOCUMENTS) throw tooMany(MOST_DOCUMENTS);
  clusterNamed(settings, document.spec.cluster);
  return {
    ...document,
    metadata: {
      ...document.metadata,
      uid: randomUUID(),
      creationTimestamp: now.toISOString(),
      generation: 1,
    },
    status: document.kind === 'Backup' ? newBackup(document, input) : newRestore(document.spec.backup, input),
  };
}

function newBackup(
  { metadata, spec }: AppliedDocument & { kind: 'Backup' },
  { settings, kept }: AdmissionInput,
): Status {
  const { storageClassName, storage = DEFAULT_STORAGE } = spec.volume ?? {};
  const [name, { quota }] = storageClassNamed(settings, storageClassName);
  const taken = kept
    .all()
    .reduce(
      (sum, one) =>
        sum +
        (one.kind === 'Backup' && one.status.storageClassName === name && one.status.phase !== 'Failed'
          ? limitOf(one)
          : 0),
      0,
    );
  if (quota !== undefined && taken + (readQuantity(storage) ?? 0) > quota)
    throw noQuota(name, storage, quantityOf(Math.max(0, quota - taken)));
  return { phase: 'Initializing', pvc: metadata.name, storageClassName: name };
}

/** Its Backup as this agent keeps it, or as the agent does that made it. */
function newRestore(name: string, { settings, kept, backup: told }: AdmissionInput): Status {
  const own = kept.get(`Backup/${name}`);
  const backup = own ?? (told === '' ? null : readKept(parsed(told)));
  if (backup?.kind !== 'Backup' || backup.metadata.name !== name) throw backupUnknown(name);
  const { phase, archive, storageClassName } = backup.status;
  if (backup.metadata.deletionTimestamp !== undefined) throw beingDeleted('Backup', name);
  if (phase !== 'Succeeded' || archive === undefined) throw backupNotReady(name, phase);
  storageClassNamed(settings, storageClassName);
  return { phase: 'Initializing', storageClassName, archive };
}

/** Null where it is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
