import * as z from 'zod';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { sha256 } from '../../../../shared/repository/digest.ts';
import { parseLsn, type Lsn } from '../journal/lsn.ts';

export interface StoredFile {
  readonly sizeBytes: number;
  readonly digest: string;
}

const manifestSchema = z.object({
  Files: z.array(
    z.object({
      Path: z.string().optional(),
      'Encoded-Path': z.string().optional(),
      Size: z.number(),
      'Checksum-Algorithm': z.string().optional(),
      Checksum: z.string().optional(),
    }),
  ),
  'WAL-Ranges': z.array(z.object({ 'End-LSN': z.string() })).optional(),
  'Manifest-Checksum': z.string(),
});

export interface ListedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly algorithm: string;
  /** Hex, in lower case; empty where there is none. */
  readonly checksum: string;
}

export interface BackupManifest {
  readonly files: readonly ListedFile[];
  /** Where the backup ended; null where it is not said. */
  readonly stop: Lsn | null;
}

/**
 * The server's own list of what is in a base backup
 * (https://www.postgresql.org/docs/current/backup-manifest-format.html). Throws an Error that says what it is not.
 */
export function readBackupManifest(text: string): BackupManifest {
  const { Files, 'WAL-Ranges': ranges = [], 'Manifest-Checksum': checksum } = parsed(text);
  const sealed = text.slice(0, text.lastIndexOf('"Manifest-Checksum"'));
  if (sha256(sealed) !== checksum) throw new Error('does not have its own checksum');
  const files = Files.map((file) => ({
    path: file.Path ?? Buffer.from(file['Encoded-Path'] ?? '', 'hex').toString('utf8'),
    sizeBytes: file.Size,
    algorithm: file['Checksum-Algorithm'] ?? 'NONE',
    checksum: file.Checksum?.toLowerCase() ?? '',
  }));
  const ends = ranges.map((range) => parseLsn(range['End-LSN']));
  return { files, stop: ends.length === 0 ? null : ends.reduce((a, b) => (a > b ? a : b)) };
}

function parsed(text: string): z.infer<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new Error('is not one', { cause: error });
  }
}

/** Holds that list against what was stored: every file there, with its size and SHA-256. Throws `base-copy-damaged`. */
export function checkBackupManifest(text: string, stored: ReadonlyMap<string, StoredFile>): void {
  for (const { path, sizeBytes, algorithm, checksum } of listed(text)) {
    const found = stored.get(path);
    if (found === undefined) throw damagedCopy(`${path} is in the backup manifest and was not received`);
    if (found.sizeBytes !== sizeBytes)
      throw damagedCopy(`${path} has ${found.sizeBytes} bytes, the backup manifest says ${sizeBytes}`);
    if (algorithm === 'SHA256' && checksum !== found.digest)
      throw damagedCopy(`${path} does not have the checksum of the backup manifest`);
  }
}

function listed(text: string): readonly ListedFile[] {
  try {
    return readBackupManifest(text).files;
  } catch (error) {
    throw damagedCopy(`the backup manifest ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

/** What the server sent is not what it has. */
export function damagedCopy(message: string, cause?: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'base-copy-damaged',
      message,
      hint: "the copy was changed on its way: look at the network and at the server's memory, then try again",
    },
    EXIT.aborted,
    { cause },
  );
}
