import { createHash } from 'node:crypto';
import type { Captured } from './ledger.ts';

/** Of the simulated chunks: large enough to be told apart, small enough for thousands of runs. */
export const CHUNK_BYTES = 64;
const PAGES = 3;

/**
 * What a member's files hold when its log is so long: pages of which some change and some are the same in all
 * members and in many checkpoints, and a journal of its own.
 */
export function contentsOf(member: number, length: number): Captured {
  const pages = Array.from({ length: PAGES }, (_, page) =>
    pageOf(member, page, Math.floor((length + page) / (page + 2))),
  );
  return new Map<string, Uint8Array>([
    ['base/1', Buffer.concat(pages)],
    ['journal/a', digest(`journal of ${member} up to ${length}`)],
    ['config/empty', new Uint8Array()],
  ]);
}

function pageOf(member: number, page: number, version: number): Uint8Array {
  if (page === 0) return Buffer.alloc(CHUNK_BYTES, `the same for all, ${version % 3}`);
  // This does not get smaller when it is compressed.
  const own = page === 1 ? `page of ${member}, ${version}` : `page of all, ${version % 4}`;
  return Buffer.concat([digest(own), digest(`${own}, second half`)]);
}

function digest(of: string): Buffer {
  return createHash('sha256').update(of).digest();
}
