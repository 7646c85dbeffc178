import { join } from 'node:path';
import type { Failure } from '../../../../shared/domain/errors.ts';
import type { InfinispanSettings } from '../settings.ts';

/** The server writes the archive beside its data before it is fetched. */
export function archivePlace({ root }: Pick<InfinispanSettings, 'root'>): string {
  return join(root, 'data');
}

export function noRoom(settings: InfinispanSettings, archiveBytes: number, freeBytes: number): Failure {
  return {
    code: 'infinispan-disk-full',
    message: `the server writes an archive of some ${megabytes(archiveBytes)} below ${archivePlace(settings)}, where ${megabytes(freeBytes)} are free`,
    hint: 'make room there',
  };
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MB`;
}
