import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Participant } from '../../../shared/rpc/participant-client.ts';
import type { Asked } from './machine.ts';
import type { Status } from './table.ts';

/** What came of a call, as far as the table speaks of it. */
export interface Outcome {
  readonly status: Status;
  /** Of the calls that end something. */
  readonly held: boolean | null;
  /** Of Quiesce. */
  readonly quiesced: boolean | null;
  /** In its own words. */
  readonly message: string;
}

const STATUSES: Readonly<Record<string, Status>> = {
  'participant-invalid': 'INVALID_ARGUMENT',
  'participant-unsupported': 'UNIMPLEMENTED',
  'participant-wrong-state': 'FAILED_PRECONDITION',
  'participant-superseded': 'ABORTED',
};

/** Makes a call. Rejects where it fails otherwise than the table knows. */
export async function perform(participant: Participant, asked: Asked): Promise<Outcome> {
  try {
    const answer = await callsOf(participant, asked)[asked.call]();
    const { held, quiesced } = answer as { held?: unknown; quiesced?: unknown };
    return {
      status: 'OK',
      held: typeof held === 'boolean' ? held : null,
      quiesced: typeof quiesced === 'boolean' ? quiesced : null,
      message: '',
    };
  } catch (error) {
    const status = error instanceof StillpointError ? STATUSES[error.failure.code] : undefined;
    if (status === undefined) throw error;
    return { status, held: null, quiesced: null, message: (error as Error).message };
  }
}

function callsOf(participant: Participant, asked: Asked) {
  const { operation = '', leaseMs = 0, timeoutMs = 0, retainJournal = false } = asked;
  // A request without a token is one that no caller of ours would send.
  const token = asked.token as Token;
  return {
    describe: () => participant.describe(),
    health: () => participant.health(),
    renew: () => participant.renew({ operation }),
    release: () => participant.release({ operation }),
    quiesce: () => participant.quiesce({ operation, token, allowReads: true, timeoutMs, leaseMs }),
    switchJournal: () => participant.switchJournal({ operation, token }),
    resume: () => participant.resume({ operation, token }),
    suspendWriting: () => participant.suspendWriting({ operation, leaseMs }),
    resumeWriting: () => participant.resumeWriting({ operation, retainJournal, leaseMs }),
    releaseJournal: () => participant.releaseJournal({ operation }),
    enterMaintenance: () => participant.enterMaintenance({ operation, leaseMs }),
    leaveMaintenance: () => participant.leaveMaintenance({ operation }),
    backUpDatabase: async () => {
      // One above the highest that is recorded, so that the next real checkpoint is above it too.
      const { highestEpoch: epoch, highestCounter } = await participant.describe();
      const counter = highestCounter + 1;
      return await participant.backUpDatabase({ operation, checkpoint: 'conformance', epoch, counter });
    },
    saveKeeperState: () => participant.saveKeeperState({ operation }),
    relocate: () => participant.relocate([]),
  } satisfies Record<Asked['call'], () => Promise<unknown>>;
}
