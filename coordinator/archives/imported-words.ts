import type { ImportedArchive } from '../../shared/domain/manifest.ts';

/** What a checkpoint is that nobody was held for. */
export function importedInWords({ file, sha256, writtenAt }: ImportedArchive): string {
  const when = writtenAt === null ? 'of a time that it does not say' : `written ${writtenAt}`;
  return `imported from ${file}, ${when}, sha256 ${sha256}: of one cluster by itself, and of no one moment with other members`;
}
