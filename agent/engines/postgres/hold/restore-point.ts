import { sha256 } from '../../../../shared/repository/digest.ts';

/** PostgreSQL's bound, one byte of it for the closing zero. */
const MAX_BYTES = 63;

/**
 * The restore point's name: the checkpoint's id and the attempt. Recovery stops at the first of that name, so
 * it is unique; an id that is too long is cut and carries a digest of the whole.
 */
export function restorePointName(checkpoint: string, attempt: number): string {
  const name = `${checkpoint}#${attempt}`;
  if (Buffer.byteLength(name) <= MAX_BYTES) return name;
  const digest = sha256(name).slice(0, 12);
  return `${checkpoint.slice(0, MAX_BYTES - 20)}~${digest}#${attempt}`;
}
