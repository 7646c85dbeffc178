import { DEFAULT_STORAGE, type KeptBackup, type KeptDocument } from '../../shared/documents/document.ts';
import { readQuantity } from '../../shared/documents/quantity.ts';
import { classUnknown, clusterUnknown, wrongService } from './failures.ts';
import {
  DATA_GRID,
  type ClusterSettings,
  type DocumentSettings,
  type MemberSettings,
  type StorageClass,
} from './settings.ts';
import { Volume } from './volume.ts';

// What documents name, as the agent's file has it.

/** Throws where no document may be applied to it. */
export function clusterNamed({ clusters }: DocumentSettings, name: string): ClusterSettings {
  const cluster = clusters[name];
  if (cluster === undefined) throw clusterUnknown(name);
  if (cluster.service !== DATA_GRID) throw wrongService(name, cluster.service);
  return cluster;
}

export function memberFor(
  settings: DocumentSettings,
  { spec }: KeptDocument,
): { readonly cluster: ClusterSettings; readonly member: MemberSettings } {
  const cluster = clusterNamed(settings, spec.cluster);
  if (cluster.member === undefined) throw clusterUnknown(spec.cluster);
  return { cluster, member: cluster.member };
}

/** The one that is named, or the default, or the only one. */
export function storageClassNamed(
  { storageClasses }: DocumentSettings,
  name: string | undefined,
): readonly [string, StorageClass] {
  const all = Object.entries(storageClasses);
  const found =
    name === undefined
      ? (all.find(([, one]) => one.default) ?? (all.length === 1 ? all[0] : undefined))
      : all.find(([key]) => key === name);
  if (found !== undefined) return found;
  throw classUnknown(
    name,
    all.map(([key]) => key),
  );
}

/** Of its storage class. */
export function directoryOf(settings: DocumentSettings, { status }: KeptDocument): string {
  return storageClassNamed(settings, status.storageClassName)[1].directory;
}

export function volumeOf(settings: DocumentSettings, document: KeptBackup): Volume {
  return new Volume({
    directory: directoryOf(settings, document),
    name: document.metadata.name,
    storage: document.spec.volume?.storage ?? DEFAULT_STORAGE,
    limitBytes: limitOf(document),
  });
}

/** How large its archive may become, in bytes. */
export function limitOf({ spec }: KeptBackup): number {
  return readQuantity(spec.volume?.storage ?? DEFAULT_STORAGE) ?? 0;
}
