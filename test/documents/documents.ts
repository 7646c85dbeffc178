import type { KeptBackup, KeptRestore, Status } from '../../shared/documents/document.ts';

/** As the source has them. */
export const BACKUP = `
apiVersion: infinispan.org/v2alpha1
kind: Backup
metadata:
  name: my-backup
spec:
  cluster: source-cluster
  volume:
    storage: 1Gi
    storageClassName: my-storage-class
`;

export const RESTORE = `
apiVersion: infinispan.org/v2alpha1
kind: Restore
metadata:
  name: my-restore
spec:
  backup: my-backup
  cluster: target-cluster
`;

const KEPT = {
  uid: '6f2c1f36-9f5a-4a54-9a0c-0d6a1a6d7f10',
  creationTimestamp: '2026-11-20T12:00:00.000Z',
  generation: 1,
};

export function keptBackup(status: Partial<Status> = {}, name = 'my-backup'): KeptBackup {
  return {
    apiVersion: 'infinispan.org/v2alpha1',
    kind: 'Backup',
    metadata: { name, ...KEPT },
    spec: {
      cluster: 'source-cluster',
      volume: { storage: '1Gi', storageClassName: 'my-storage-class' },
    },
    status: { phase: 'Succeeded', ...status },
  };
}

export function keptRestore(status: Partial<Status> = {}, name = 'my-restore'): KeptRestore {
  return {
    apiVersion: 'infinispan.org/v2alpha1',
    kind: 'Restore',
    metadata: { name, ...KEPT },
    spec: { backup: 'my-backup', cluster: 'target-cluster' },
    status: { phase: 'Running', ...status },
  };
}
