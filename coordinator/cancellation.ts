import { EXIT, StillpointError } from '../shared/domain/errors.ts';

/** What ends an operation from outside: a person, a script, a time limit. */
export interface Cancellation {
  /** The first word: abort everywhere. */
  readonly signal: AbortSignal;
  /** The second: stop waiting for members that cannot confirm. */
  readonly second: AbortSignal;
}

export interface Words extends Cancellation {
  /** SIGTERM to what holds until it is let go: that is how scripts and service managers end it. */
  readonly letGo: AbortSignal;
}

/**
 * Ctrl-C and SIGTERM: once to abort, twice to stop waiting. A time-out counts as the first word. Where the operation
 * `letsGo`, the first SIGTERM is no abort.
 */
export function listenForCancellation(
  timeoutMs: number | null,
  { letsGo = false }: { letsGo?: boolean } = {},
): Words & { stop(): void } {
  const first = new AbortController();
  const second = new AbortController();
  const letGo = new AbortController();
  const hear = (signal: NodeJS.Signals): void => {
    if (letsGo && signal === 'SIGTERM' && !letGo.signal.aborted) letGo.abort(interrupted(signal));
    else if (first.signal.aborted) second.abort(interrupted(signal));
    else first.abort(interrupted(signal));
  };
  process.on('SIGINT', hear);
  process.on('SIGTERM', hear);
  const timer = timeoutMs === null ? null : setTimeout(() => first.abort(timedOut(timeoutMs)), timeoutMs);
  timer?.unref();
  return {
    signal: first.signal,
    second: second.signal,
    letGo: letGo.signal,
    stop() {
      process.off('SIGINT', hear);
      process.off('SIGTERM', hear);
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** The same, unless the word comes first: nothing is touched yet, and whoever hangs here hangs alone. */
export async function heeding<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const hear = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', hear, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', hear);
  }
}

/** Whether it is a person, or their time limit, that ended the work, and nothing that went wrong. */
export function isCancellation({ failure }: StillpointError): boolean {
  return failure.code === 'interrupted' || failure.code === 'timed-out';
}

function interrupted(signal: NodeJS.Signals): StillpointError {
  return new StillpointError(
    {
      code: 'interrupted',
      message: `interrupted by ${signal}`,
      hint: 'nothing was committed; start it again when you are ready',
    },
    EXIT.aborted,
  );
}

function timedOut(timeoutMs: number): StillpointError {
  return new StillpointError(
    {
      code: 'timed-out',
      message: `not done after ${timeoutMs / 1000} s`,
      hint: 'nothing was committed; give it more time with --timeout, or look at what is slow with --log-level info',
    },
    EXIT.aborted,
  );
}
