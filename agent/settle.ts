import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { Reach } from '../shared/runtime/moments.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { AgentMember } from './agent-member.ts';
import type { SettleContext } from './engines/engine.ts';
import type { StateDirectory } from './state-directory.ts';

/** What follows a commit on this host, and what outlives checkpoints here. */
interface SettlingHost {
  readonly file: { readonly grid: string };
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly repository: () => Promise<Repository>;
  readonly log: Logger;
  readonly surroundings: { readonly reach: Reach };
}

/**
 * Finishes what lies of a committed checkpoint on this host. The repository is asked whether it is committed:
 * the coordinator's word alone does not make it so. Resolves with what could not be finished.
 */
export async function settle(context: SettlingHost, checkpoint: string): Promise<Warning[]> {
  const { file, members, log } = context;
  const repository = await context.repository();
  const manifest = await repository.readCheckpoint(file.grid, checkpoint);
  const source: SettleContext['source'] = async (name) => {
    const member = manifest.members.find((one) => one.name === name);
    if (member === undefined) throw new Error(`${checkpoint} has no member ${name}`);
    const read = await repository.readMember(file.grid, checkpoint, name, member.manifestDigest);
    return { manifest: read, read: (path) => repository.readFile(read, path) };
  };
  const settled = await Promise.all(
    [...members.values()].map(async ({ name, engine }) => {
      try {
        await context.surroundings.reach('settling', name);
        await engine.localCopies?.settle({ manifest, source });
        return [];
      } catch (error) {
        const { message } = failureOf(error, { code: 'settle', hint: '' });
        log.error({ event: 'settleFailed', member: name, err: error }, message);
        const text = `the copy of the checkpoint on its host is not complete: ${message}`;
        const hint =
          'the checkpoint itself is whole in the repository; the next one makes whole copies again';
        return [{ code: 'copy-incomplete', about: name, text, hint }];
      }
    }),
  );
  return settled.flat();
}

/** Only what is named as a checkpoint is: no path comes from the wire. */
export async function dropLocal(
  context: Pick<SettlingHost, 'members'>,
  checkpoints: readonly string[],
): Promise<void> {
  const bad = checkpoints.find((checkpoint) => parseCheckpointId(checkpoint) === null);
  if (bad !== undefined) {
    throw new StillpointError({
      code: 'bad-message',
      message: `'${bad}' is not the id of a checkpoint`,
      hint: 'use the stillpoint command',
    });
  }
  for (const { engine } of context.members.values()) await engine.localCopies?.drop(checkpoints);
}

/** Durable on return. Tokens of an older epoch are refused from then on. */
export async function raiseEpoch(state: StateDirectory, epoch: number): Promise<void> {
  await state.recordToken({ epoch, counter: state.highestToken()?.counter ?? 0, attempt: 0 });
}
