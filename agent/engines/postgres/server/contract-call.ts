import { serverError, type ConnectionSettings } from './connection.ts';

/**
 * One call of the contract between agent and engine: what the server says becomes a failure, and after an abort
 * only that counts. What an abort interrupted may have opened something after the abort had closed everything,
 * so it is closed again.
 */
export async function contractCall<T>(
  part: {
    readonly settings: ConnectionSettings;
    readonly signal: AbortSignal;
    close(): Promise<void>;
  },
  work: () => Promise<T>,
): Promise<T> {
  const { settings, signal } = part;
  signal.throwIfAborted();
  try {
    const done = await work();
    signal.throwIfAborted();
    return done;
  } catch (error) {
    if (signal.aborted) await part.close();
    signal.throwIfAborted();
    throw serverError(settings, error);
  }
}
