import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Content } from '../../shared/rpc/generated/participant.ts';
import type { KeeperState } from './calls.ts';
import { contentOf, NO_CONTENT } from './content.ts';
import { Refusal } from './holds.ts';
import { Keeper } from './keeper.ts';
import type { Options } from './options.ts';
import type { Participation } from './participant.ts';
import { describedBase, undecidedProblem, type Running } from './process.ts';
import { RealmLink } from './realm-link.ts';
import { serve } from './rpc.ts';

/** Starts a state keeper; it governs when it has the grid's definition. */
export async function startStateKeeper(options: Options): Promise<Running> {
  mkdirSync(join(options.data, 'live'), { recursive: true });
  const realm = new RealmLink(options, () => undefined);
  const keeper = new Keeper(options, () => realm.definition);
  await keeper.recover();
  const server = await serve(options.listen, keeper.serving);
  const unfit = (): string | undefined => {
    if (keeper.undecided.length > 0) return `copyset ${keeper.undecided.join(', ')} is undecided`;
    return keeper.inQuorum ? undefined : 'it is in no quorum of keepers';
  };
  const begin = async (): Promise<void> => {
    await realm.begin(() => {
      const problems = [unfit()].filter((cause) => cause !== undefined);
      const { name } = options;
      return { name, role: 'keeper', primary: keeper.leads, healthy: problems.length === 0, problems };
    });
    keeper.begin();
  };
  const participation: Participation = {
    describe: () => ({
      ...describedBase(options, realm.known),
      role: 2,
      primary: keeper.leads,
      dataIdentity: keeper.effective?.identity ?? '',
      quorum: { running: keeper.running, configured: realm.known?.keepers.length ?? 0 },
      problems: undecidedProblem(keeper.undecided),
      startedWith: contentOfState(keeper.startedWith) ?? NO_CONTENT,
    }),
    unfit,
    rest: {
      gate: keeper.gate,
      switchJournal: () =>
        Promise.resolve({
          file: String(keeper.effective?.version ?? 0),
          length: 0,
          content: contentOfState(keeper.effective),
        }),
    },
    saveKeeperState() {
      const state = keeper.effective;
      if (state === undefined)
        throw new Refusal(status.UNAVAILABLE, 'it has no state yet', 'start a quorum of keepers');
      return { state: Buffer.from(JSON.stringify(state)), version: BigInt(state.version) };
    },
  };
  return {
    participation,
    begun: begin(),
    async stop() {
      server.close();
      await keeper.end();
      await realm.end();
    },
  };
}

function contentOfState(state: KeeperState | undefined): Content | undefined {
  return state && contentOf(Object.keys(state.copysets).length, state);
}
