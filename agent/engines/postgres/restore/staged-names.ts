import { dirname, resolve } from 'node:path';
import type { ArtifactSource } from '../../engine.ts';
import { CONTROL_FILE, UNFINISHED_CONTROL_FILE } from './control-file.ts';

// What of a checkpoint's files goes where in a staged data directory, by their names and modes alone.

/**
 * A base copy has no entry for the data directory itself. But the server makes the files of its own in the copy as its
 * `data_directory_mode` says: readable by the group where the data directory is.
 */
export function groupReadsData({ artifacts }: ArtifactSource['manifest']): boolean {
  const label = artifacts.find(({ path }) => path === 'base/backup_label');
  return label?.kind === 'file' && (label.mode & 0o040) !== 0;
}

/** What the primary has in a directory that its standby includes as a whole: there the standby's own is in force. */
export function isReplaced(own: ArtifactSource | null, path: string): boolean {
  if (own === null || !path.endsWith('.conf')) return false;
  const directory = `config/${dirname(path)}`;
  return own.manifest.artifacts.some(
    (artifact) => artifact.kind === 'directory' && artifact.path === directory,
  );
}

/** What a standby's own configuration is a link to. */
export function configurationLinks(own: ArtifactSource | null, data: string): string[] {
  return (own?.manifest.artifacts ?? []).flatMap((artifact) =>
    artifact.kind === 'symlink' && artifact.path.startsWith('config/')
      ? [resolve(data, dirname(artifact.path.slice('config/'.length)), artifact.target)]
      : [],
  );
}

/** Where a base file is staged: pg_control under another name until all is done; what must not be there not. */
export function stagedName(path: string): string | null {
  if (path === CONTROL_FILE) return UNFINISHED_CONTROL_FILE;
  const left = [
    'tablespace_map',
    'standby.signal',
    'recovery.signal',
    'postmaster.pid',
    UNFINISHED_CONTROL_FILE,
  ];
  return left.includes(path) ? null : path;
}
