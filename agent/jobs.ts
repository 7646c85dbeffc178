import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { lastsUntilLetGo, PURPOSE_WORDS, type Purpose } from '../shared/domain/purpose.ts';
import type { HeldBy } from '../shared/domain/wire.ts';
import type { ServiceContext, Work } from './claimed-work.ts';
import type { HostClaim } from './host-claim.ts';
import { messagesOf } from './operation-messages.ts';
import type { StateDirectory } from './state-directory.ts';

/** How long the members may take to run again before it is said that they do not. */
const FORCE_MS = 30_000;

const NOTHING_FROZEN: Purpose = { type: 'freeze', timeOutMs: 0 };

type MessageContext = Pick<ServiceContext, 'file' | 'members' | 'log' | 'surroundings'>;
type Claim = Pick<HostClaim<Work>, 'held' | 'endHeld'>;

/** Which job has this host, and the highest number that this agent has seen. */
export function jobOf(
  claim: Claim,
  state: Pick<StateDirectory, 'highestToken'>,
): { held: HeldBy | null; highestEpoch: number; highestCounter: number } {
  const { held } = claim;
  const prepared = held?.work.checkpoint?.prepared ?? null;
  const highest = state.highestToken();
  return {
    held:
      held === null
        ? null
        : {
            operation: held.operation,
            holder: held.holder,
            checkpoint: prepared?.checkpoint ?? null,
            purpose: prepared?.purpose ?? null,
          },
    highestEpoch: highest?.epoch ?? 0,
    highestCounter: highest?.counter ?? 0,
  };
}

/**
 * Lets the job know that somebody who has its token wants it to let go; a freeze does so for anybody. With `force` the
 * operation is ended here, and this resolves when its members run. Rejects `no-job`, `other-job`, and `grid-busy` where
 * they do not run in time.
 */
export async function letGo(
  context: MessageContext,
  claim: Claim,
  asked: { readonly operation: string; readonly force: boolean; readonly holder: string },
): Promise<void> {
  const { held } = claim;
  const isThaw = asked.operation === '' && !asked.force;
  const work = held?.work.checkpoint ?? null;
  const purpose = work?.prepared?.purpose ?? null;
  if (held === null || work === null || purpose === null || (isThaw && purpose.type !== 'freeze')) {
    if (isThaw) await sayAlreadyResumed(context, work);
    throw noJob(held?.holder ?? null);
  }
  if (asked.operation !== '' && asked.operation !== held.operation) throw otherJob(held.holder);
  if (!lastsUntilLetGo(purpose)) throw endsByItself(PURPOSE_WORDS[purpose.type], held.holder);
  if (!asked.force) return work.askToLetGo(asked.holder);
  work.force(asked.holder);
  await claim.endHeld(FORCE_MS);
}

/**
 * In the words by which operators know from a member's log that nothing was frozen when it was thawed. A disk that a
 * frozen member uses is left alone: where one is, the lines are written after that, and nobody waits for them.
 */
async function sayAlreadyResumed(context: MessageContext, work: Work['checkpoint']): Promise<void> {
  const { file, members, log, surroundings } = context;
  const nodes = file.members.flatMap(({ name, role }) => (role === 'node' ? (members.get(name) ?? []) : []));
  const say = async (): Promise<void> => {
    for (const node of nodes) {
      const messages = messagesOf(node, { purpose: NOTHING_FROZEN, time: surroundings.time, log });
      messages.suspending();
      messages.over();
      await messages.written;
    }
  };
  if (work === null || work.frozenMembers.size === 0) return say();
  work.afterFreeze(() => void say());
}

function noJob(holder: string | null): StillpointError {
  const who =
    holder === null ? 'nobody holds the grid' : `nobody holds the grid so; ${holder} is at something else`;
  return refused(
    'no-job',
    `there is no such quiesce or freeze: ${who}`,
    'stillpoint grid status shows every member: nobody has to be let go of where none is frozen',
  );
}

function otherJob(holder: string): StillpointError {
  return refused(
    'other-job',
    `another job holds the grid: ${holder}`,
    'give the token that this job has told: its command, and the file of --info, have it; or end it with --force, and copy again',
  );
}

function endsByItself(what: string, holder: string): StillpointError {
  return refused(
    'no-job',
    `${holder} makes a ${what}, which ends by itself`,
    'wait for it; Ctrl-C where it runs ends it',
  );
}

function refused(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.refused);
}
