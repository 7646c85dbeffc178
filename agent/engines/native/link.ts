import { connectParticipant, type Participant } from '../../../shared/rpc/participant-client.ts';
import type { NativeSettings } from './settings.ts';

/** Where a process is reached. */
type Reached = Pick<NativeSettings, 'participant' | 'tls'>;

/** Every call is answered within this, or fails. */
const CALL_TIMEOUT_MS = 5000;

/** One connection to the member's process. Connects with its first call. */
export function connectTo(settings: Reached): Promise<Participant> {
  return connectParticipant({
    target: settings.participant,
    timeoutMs: CALL_TIMEOUT_MS,
    ...(settings.tls !== undefined && { tls: settings.tls }),
  });
}

/** For one question; the connection is closed whatever comes. */
export async function withParticipant<T>(
  settings: Reached,
  ask: (participant: Participant) => Promise<T>,
): Promise<T> {
  const participant = await connectTo(settings);
  try {
    return await ask(participant);
  } finally {
    participant.close();
  }
}
