import { assertNever } from '../../shared/domain/assert-never.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../shared/domain/participant.ts';
import { connectParticipant, type Participant } from '../../shared/rpc/participant-client.ts';
import { releaseAll } from './holds.ts';
import { servesContract } from './brought-up.ts';
import { Lab, type Pace } from './lab.ts';
import { read, Writer, type Programs } from './programs.ts';
import { Broken, Unjudged, type ContractPromise, type Need, type Verdict } from './promise.ts';
import { callPromises } from './promises/calls.ts';
import { contentPromises } from './promises/content.ts';
import { describePromises } from './promises/describe.ts';
import { journalPromises } from './promises/journal.ts';
import { leasePromises } from './promises/leases.ts';
import { maintenancePromises } from './promises/maintenance.ts';
import { restPromises } from './promises/rest.ts';
import { statePromises } from './promises/state.ts';
import { tokenPromises } from './promises/tokens.ts';
import { writingPromises } from './promises/writing.ts';

export const PROMISES: readonly ContractPromise[] = [
  ...describePromises,
  ...callPromises,
  ...restPromises,
  ...tokenPromises,
  ...journalPromises,
  ...contentPromises,
  ...writingPromises,
  ...maintenancePromises,
  ...statePromises,
  ...leasePromises,
];

export interface SuiteInput {
  readonly target: string;
  readonly programs: Programs;
  readonly pace: Pace;
  /** The epoch of all tokens: newer than any that the process has seen. */
  readonly epoch: number;
  /** Ids to check; all where there are none. */
  readonly only?: readonly string[];
  onVerdict?(verdict: Verdict): void;
  /** Ends the run before its next check; the process is released all the same. */
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;

/**
 * Checks every promise of the contract that the process's role has, one after the other. The process is released
 * when it resolves or rejects. Rejects when the process cannot be called to begin with.
 */
export async function runSuite(
  input: SuiteInput,
): Promise<{ description: ParticipantDescription | null; verdicts: Verdict[] }> {
  const { target, programs } = input;
  const participant = await connectParticipant({ target, timeoutMs: TIMEOUT_MS });
  const verdicts: Verdict[] = [];
  const tell = (verdict: Verdict): void => {
    verdicts.push(verdict);
    input.onVerdict?.(verdict);
  };
  let writer: Writer | undefined;
  try {
    const description = await firstDescription(participant, tell);
    if (description === null) return { description, verdicts };
    writer = await startWriter(programs, description);
    const lab = new Lab({ ...input, participant, description, writer });
    for (const promise of PROMISES) {
      if (input.signal?.aborted === true) break;
      if (input.only !== undefined && !input.only.includes(promise.id)) continue;
      try {
        tell(await judge(lab, promise));
      } finally {
        await releaseAll(lab);
      }
    }
    return { description, verdicts };
  } finally {
    await writer?.program.stop();
    participant.close();
  }
}

/** Null where what it says of itself cannot be used: then that is the verdict. */
async function firstDescription(
  participant: Participant,
  tell: (verdict: Verdict) => void,
): Promise<ParticipantDescription | null> {
  try {
    return await participant.describe();
  } catch (error) {
    const promise = describePromises.find(({ id }) => id === 'describe-complete');
    if (!(error instanceof StillpointError) || promise === undefined) throw error;
    if (error.failure.code !== 'participant-contract') throw error;
    tell({ id: promise.id, says: promise.says, result: 'broken', seen: error.failure.message });
    return null;
  }
}

async function startWriter(
  programs: Programs,
  { dataDirectory }: ParticipantDescription,
): Promise<Writer | undefined> {
  if (programs.writer === undefined || programs.reader === undefined) return undefined;
  const rows = await read(programs.reader, dataDirectory, TIMEOUT_MS).catch((error: unknown) => {
    throw new StillpointError({
      code: 'usage',
      message: `the reader does not read: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'it prints the visible numbers, one a line, and ends with 0',
    });
  });
  let highest = 0;
  for (const row of rows) highest = Math.max(highest, row);
  return new Writer(programs.writer, dataDirectory, highest + 1);
}

async function judge(lab: Lab, promise: ContractPromise): Promise<Verdict> {
  const { id, says } = promise;
  const excuse = await excuseOf(lab, promise);
  if (excuse !== null) return { id, says, result: 'not-applicable', seen: excuse };
  try {
    return { id, says, result: 'kept', seen: await promise.check(lab) };
  } catch (error) {
    if (error instanceof Unjudged) {
      return { id, says, result: 'not-applicable', seen: `cannot be judged: ${error.message}` };
    }
    if (error instanceof Broken || error instanceof StillpointError) {
      return { id, says, result: 'broken', seen: error.message };
    }
    throw error;
  }
}

async function excuseOf(lab: Lab, { roles, needs = [], excuse }: ContractPromise): Promise<string | null> {
  const { role } = lab.description;
  if (!roles.includes(role)) return `no promise of a ${role}`;
  const own = excuse?.(lab.description) ?? null;
  if (own !== null) return own;
  for (const need of needs) {
    const missing = await missingFor(lab, need);
    if (missing !== null) return missing;
  }
  return null;
}

async function missingFor(lab: Lab, need: Need): Promise<string | null> {
  const { writer, programs, files } = lab;
  switch (need) {
    case 'writer':
      return writer === undefined ? 'needs --writer and --reader' : null;
    case 'busy':
      return programs.busy === undefined ? 'needs --busy' : null;
    case 'start':
      return programs.start === undefined ? 'needs --start' : null;
    case 'socket':
      return servesContract(lab) ? null : 'needs --start with {socket}';
    case 'files':
      return (await files.areReadable()) ? null : `${files.live} cannot be read here`;
    default:
      return assertNever(need);
  }
}
