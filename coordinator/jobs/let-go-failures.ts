import {
  EXIT,
  failureOf,
  StillpointError,
  type Failure,
  type MemberState,
} from '../../shared/domain/errors.ts';
import { NOT_TRUSTED, PURPOSE_WORDS, type HoldPurpose } from '../../shared/domain/purpose.ts';
import type { HeldBy } from '../../shared/domain/wire.ts';

/** What is known of a host's members. */
export interface HostState {
  readonly host: string;
  readonly members: readonly { readonly name: string; readonly state: MemberState }[];
}

interface Known {
  readonly purpose: HoldPurpose;
  readonly hosts: readonly HostState[];
  /** Why agents do not answer. */
  readonly unreached: readonly Failure[];
}

/** Nobody can say that all run: it was tried until now. */
export function notLetGo(
  known: Known & { readonly held: HeldBy; readonly force: boolean; readonly failure: Failure | null },
): StillpointError {
  const { held, purpose, force, failure, hosts, unreached } = known;
  const cause = failure === null ? '' : `: ${failure.message}`;
  const command = purpose === 'freeze' ? 'thaw' : 'resume';
  const still = hosts.some(({ members }) => members.some(({ state }) => state === 'frozen'))
    ? `the ${PURPOSE_WORDS[purpose]} of job ${held.operation} is not over${cause}`
    : `whether all members run is not known${cause}`;
  return new StillpointError(
    {
      code: 'not-let-go',
      message: [still, ...unreached.map(({ message }) => message)].join('; '),
      hint: `${NOT_TRUSTED}; run it again${force ? '' : `, or end it with stillpoint ${command} --force`}; a member whose job is gone runs when its lease ends, at the latest when its agent starts`,
      phase: 'thaw',
      members: statesOf(hosts),
    },
    EXIT.maybeFrozen,
  );
}

/** Nothing was held until the end, so nothing that was copied is of one moment. */
export function alreadyResumed(known: Known & { readonly held: HeldBy | null }): StillpointError {
  const { held, purpose, hosts, unreached } = known;
  const what = PURPOSE_WORDS[purpose];
  const message =
    held === null
      ? `already resumed: no ${what} holds the grid`
      : `already resumed: the ${what} of job ${held.operation} is over, and it is not proven that every member was held`;
  return new StillpointError(
    {
      code: 'already-resumed',
      message: [message, ...unreached.map((failure) => failure.message)].join('; '),
      hint: `${NOT_TRUSTED}: ${what} again, and copy again; the words of the command that held it say why`,
      phase: 'thaw',
      members: statesOf(hosts),
    },
    unreached.length === 0 ? EXIT.invalid : EXIT.maybeFrozen,
  );
}

/** All run, and the proof that they had held cannot be read. */
export function unproven(checkpoint: string, hosts: readonly HostState[], cause: unknown): StillpointError {
  const failure = failureOf(cause, { code: 'repository-failed', hint: 'look at the repository' });
  return new StillpointError(
    {
      ...failure,
      message: `all members run; whether they had held until then is not known: ${failure.message}`,
      hint: `${failure.hint}; then stillpoint checkpoint describe ${checkpoint}: where there is none, ${NOT_TRUSTED}`,
      phase: 'thaw',
      members: statesOf(hosts),
    },
    EXIT.invalid,
    { cause },
  );
}

export function forced(held: HeldBy, purpose: HoldPurpose, hosts: readonly HostState[]): StillpointError {
  return new StillpointError(
    {
      code: 'forced',
      message: `the ${PURPOSE_WORDS[purpose]} of job ${held.operation}, of ${held.holder}, was ended by force; its members run`,
      hint: `${NOT_TRUSTED}: ${PURPOSE_WORDS[purpose]} again, and copy again`,
      phase: 'thaw',
      members: statesOf(hosts),
    },
    EXIT.invalid,
  );
}

export function noSuchJob(
  known: Known & { readonly job: string | null; readonly other: HeldBy | null },
): StillpointError {
  const { purpose, job, other, hosts, unreached } = known;
  const what = PURPOSE_WORDS[purpose];
  const missing = `there is no ${what}${job === null ? '' : ` of job ${job}`}`;
  const members = statesOf(hosts);
  if (other !== null)
    return refused({
      code: 'other-job',
      message: `${missing}; another job holds the grid: ${other.holder}`,
      hint: 'give the token that this job has told (its command, and the file of --info, have it); or end it with --force, and copy again',
      members,
    });
  return refused({
    code: 'no-job',
    message: [`${missing}: nobody holds the grid`, ...unreached.map(({ message }) => message)].join('; '),
    hint: `nobody has to be let go of; unless its command said that all had resumed, ${NOT_TRUSTED}`,
    members,
  });
}

export function ofOtherPurpose(held: HeldBy, purpose: HoldPurpose): StillpointError {
  const what = held.purpose === null ? 'operation' : PURPOSE_WORDS[held.purpose.type];
  const remedy =
    held.purpose?.type === 'freeze'
      ? 'stillpoint thaw ends it'
      : held.purpose?.type === 'quiesce'
        ? `stillpoint resume --job ${held.operation} ends it`
        : 'it ends by itself';
  return refused({
    code: 'no-job',
    message: `job ${held.operation} is no ${PURPOSE_WORDS[purpose]}: it is a ${what} of ${held.holder}`,
    hint: remedy,
  });
}

function refused(failure: Failure): StillpointError {
  return new StillpointError({ phase: 'thaw', ...failure }, EXIT.refused);
}

/** Named with its host where somebody has to go and look. */
function statesOf(hosts: readonly HostState[]): NonNullable<Failure['members']> {
  return hosts.flatMap(({ host, members }) =>
    members.map((member) => (member.state === 'frozen' ? { ...member, host } : member)),
  );
}
