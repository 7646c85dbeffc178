import { setTimeout as pause } from 'node:timers/promises';
import { StillpointError } from '../../shared/domain/errors.ts';
import { connectParticipant, type Participant } from '../../shared/rpc/participant-client.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import type { Asked } from './contract/machine.ts';
import { perform } from './contract/perform.ts';
import { lineOf, type Sequence, type Step } from './contract/sequence-file.ts';
import type { HoldName } from './contract/table.ts';

export interface Replayed {
  readonly line: string;
  /** Null where it was as recorded. */
  readonly difference: string | null;
}

const TIMEOUT_MS = 10_000;
const POLL_MS = 10;
/** How late a lease may end on a busy machine, beyond what it is. */
const GRACE_MS = 3000;
const LONGEST_LEASE_MS = 60_000;

/**
 * Makes the calls of a recorded sequence and compares the answers, to the first that is other than recorded. Operations and
 * tokens are new ones, of this epoch. The process is released when it resolves or rejects.
 */
export async function replay(input: {
  readonly target: string;
  readonly tls?: TlsFiles;
  readonly sequence: Sequence;
  readonly epoch: number;
  onStep?(step: Replayed): void;
}): Promise<readonly Replayed[]> {
  const { target, tls, sequence, epoch } = input;
  const participant = await connectParticipant({
    target,
    timeoutMs: TIMEOUT_MS,
    ...(tls !== undefined && { tls }),
  });
  const operationOf = (name: string): string => (name === '' ? '' : `conformance-${epoch}-${name}`);
  const done: Replayed[] = [];
  const used = new Set<string>();
  try {
    const { role } = await participant.describe();
    if (role !== sequence.role)
      return [{ line: `role ${sequence.role}`, difference: `the process is a ${role}` }];
    for (const step of sequence.steps) {
      if (!('lapses' in step) && step.asked.operation !== undefined)
        used.add(operationOf(step.asked.operation));
      const difference = await differenceOf(participant, step, { epoch, operationOf });
      const one = { line: lineOf(step), difference };
      done.push(one);
      input.onStep?.(one);
      if (difference !== null) break;
    }
    return done;
  } finally {
    for (const operation of used) await participant.release({ operation }).catch(() => undefined);
    participant.close();
  }
}

async function differenceOf(
  participant: Participant,
  step: Step,
  { epoch, operationOf }: { epoch: number; operationOf: (name: string) => string },
): Promise<string | null> {
  if ('lapses' in step)
    return (await lapses(participant, step.lapses))
      ? null
      : `${step.lapses} is held for long after its lease`;
  const { asked, status, held, holder } = step;
  const outcome = await perform(participant, withNames(asked, epoch, operationOf)).catch((error: unknown) => {
    // Nobody who is not there has answered otherwise.
    if (!(error instanceof StillpointError) || error.failure.code === 'participant-unreachable') throw error;
    return error;
  });
  if (outcome instanceof StillpointError) return outcome.message;
  if (outcome.status !== status) return `${outcome.status} ${outcome.message}`.trim();
  if (held !== null && outcome.held !== held) return `held=${String(outcome.held)}`;
  if (asked.call === 'quiesce' && status === 'OK' && outcome.quiesced !== true)
    return 'it did not come to rest';
  if (holder === null) return null;
  const { operation } = (await participant.describe()).held;
  return operation === operationOf(holder) ? null : `it is held for '${operation}'`;
}

function withNames(asked: Asked, epoch: number, operationOf: (name: string) => string): Asked {
  const { operation, token } = asked;
  return {
    ...asked,
    ...(operation !== undefined && { operation: operationOf(operation) }),
    ...(token !== undefined && { token: { ...token, epoch } }),
  };
}

async function lapses(participant: Participant, name: HoldName): Promise<boolean> {
  const until = performance.now() + LONGEST_LEASE_MS + GRACE_MS;
  while ((await participant.describe()).held[name]) {
    if (performance.now() > until) return false;
    await pause(POLL_MS);
  }
  return true;
}
