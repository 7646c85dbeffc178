import { StillpointError } from '../../../../shared/domain/errors.ts';
import { inTime } from '../../../in-time.ts';

const TIMEOUT_MS = 5000;
/** After some seconds nobody is held: what takes that long is waited for with patience. */
const RARELY_MS = 100;

/** Asks the server again and again; each question is a round trip, so there is no need to sleep long. */
export async function waitUntil(
  what: string,
  signal: AbortSignal,
  isTrue: () => Promise<boolean>,
  timeoutMs: number = TIMEOUT_MS,
): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (let asked = 0; ; asked += 1) {
    signal.throwIfAborted();
    if (await isTrue()) return;
    if (performance.now() > until) throw notReached(what, timeoutMs);
    // The first answers come within a fraction of a millisecond; after that something else is slow.
    if (asked > 20) await new Promise((resolve) => setTimeout(resolve, asked > 1000 ? RARELY_MS : 1));
  }
}

/** The same for a promise. Its rejection is ignored after the time is up: the caller has gone on with the timeout. */
export function settledInTime<T>(
  what: string,
  promise: Promise<T>,
  timeoutMs: number = TIMEOUT_MS,
): Promise<T> {
  return inTime(promise, timeoutMs, () => notReached(what, timeoutMs));
}

function notReached(what: string, timeoutMs: number): StillpointError {
  return new StillpointError({
    code: 'fence-not-reached',
    message: `waited ${timeoutMs} ms in vain for ${what}`,
    hint: "look at the server's load, its log, its own synchronous standbys, and whether its walsender was ended",
  });
}
