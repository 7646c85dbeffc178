import { createHash } from 'node:crypto';

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export const EMPTY_DIGEST = sha256('');
