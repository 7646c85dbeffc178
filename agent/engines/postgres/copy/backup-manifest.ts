import * as z from 'zod';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { sha256 } from '../../../../shared/repository/digest.ts';

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
  'Manifest-Checksum': z.string(),
});

/**
 * Holds the server's own list of what it sent (https://www.postgresql.org/docs/current/backup-manifest-format.html)
 * against what was stored: every file there, with its size and SHA-256. Throws `base-copy-damaged`.
 */
export function checkBackupManifest(text: string, stored: ReadonlyMap<string, StoredFile>): void {
  const manifest = parsed(text);
  const sealed = text.slice(0, text.lastIndexOf('"Manifest-Checksum"'));
  if (sha256(sealed) !== manifest['Manifest-Checksum']) {
    throw damagedCopy('the backup manifest does not have its own checksum');
  }
  for (const file of manifest.Files) {
    const path = file.Path ?? Buffer.from(file['Encoded-Path'] ?? '', 'hex').toString('utf8');
    const found = stored.get(path);
    if (found === undefined) throw damagedCopy(`${path} is in the backup manifest and was not received`);
    if (found.sizeBytes !== file.Size)
      throw damagedCopy(`${path} has ${found.sizeBytes} bytes, the backup manifest says ${file.Size}`);
    if (file['Checksum-Algorithm'] === 'SHA256' && file.Checksum !== found.digest) {
      throw damagedCopy(`${path} does not have the checksum of the backup manifest`);
    }
  }
}

function parsed(text: string): z.infer<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw damagedCopy('the backup manifest is not one', error);
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
