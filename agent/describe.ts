import { statfs } from 'node:fs/promises';
import type { Failure } from '../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../shared/domain/grid.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { version } from '../shared/runtime/version.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import type { Finding } from './engines/engine.ts';
import { memberRoom, type KeepFree } from './room-watch.ts';
import type { StateDirectory } from './state-directory.ts';
import type { UndoKeeper } from './undo-keeper.ts';

export const agentVersion = version;

const DESCRIBE_TIMEOUT_MS = 10_000;
const DIAGNOSE_TIMEOUT_MS = 30_000;

/** Looks at every member and at what this host has for a checkpoint. Changes nothing. */
export async function describeHost(
  context: {
    readonly file: { readonly grid: string; readonly keepFree: KeepFree };
    readonly host: string;
    readonly members: ReadonlyMap<string, AgentMember>;
    readonly state: StateDirectory;
    readonly undoKeeper: UndoKeeper;
    readonly repository: () => Promise<Repository>;
  },
  frozen: ReadonlySet<string>,
): Promise<{ host: HostDescription; repositoryId: string }> {
  const highest = context.state.highestToken();
  const [disk, repository, members, unfinished, short] = await Promise.all([
    statfs(context.state.path),
    context.repository(),
    Promise.all(
      [...context.members.values()].map((member) =>
        member.engine.describe(AbortSignal.timeout(DESCRIBE_TIMEOUT_MS)),
      ),
    ),
    context.state.restoreRecords(),
    shortOfRoom(context),
  ]);
  const cut = new Set(unfinished.map((record) => record.member));
  return {
    repositoryId: repository.id,
    host: {
      host: context.host,
      grid: context.file.grid,
      agentVersion,
      highestEpoch: highest?.epoch ?? 0,
      highestCounter: highest?.counter ?? 0,
      stateFreeBytes: disk.bavail * disk.bsize,
      members: members.map((member) => ({
        ...member,
        frozen: frozen.has(member.name),
        problems: [
          ...problemsOfAgent(member, context.undoKeeper, cut),
          ...short.filter((failure) => failure.member === member.name),
          ...member.problems,
        ],
      })),
    },
  };
}

/** Members with less room for their journal than a checkpoint would leave them. */
async function shortOfRoom(context: {
  readonly file: { readonly keepFree: KeepFree };
  readonly members: ReadonlyMap<string, AgentMember>;
}): Promise<Failure[]> {
  const found = await Promise.all(
    [...context.members.values()].map(async ({ name, engine }) => {
      const room = memberRoom(name, engine, context.file.keepFree);
      const free = await room.freeBytes();
      return free === null || free >= room.floorBytes ? [] : [room.failure(free)];
    }),
  );
  return found.flat();
}

/** Everything that would stop a checkpoint of this host's members, and what to know before one. */
export async function diagnoseHost(context: {
  readonly host: string;
  readonly members: ReadonlyMap<string, AgentMember>;
}): Promise<Finding[]> {
  const findings = await Promise.all(
    [...context.members.values()].map(async (member) =>
      (await member.engine.diagnose(AbortSignal.timeout(DIAGNOSE_TIMEOUT_MS))).map(({ level, failure }) => ({
        level,
        failure: { ...failure, member: member.name, host: context.host },
      })),
    ),
  );
  return findings.flat();
}

function problemsOfAgent(
  member: MemberDescription,
  undoKeeper: UndoKeeper,
  cut: ReadonlySet<string>,
): MemberDescription['problems'] {
  const problems = [];
  if (undoKeeper.isLeft(member.name)) {
    problems.push({
      code: 'undo-pending',
      message: `an earlier freeze of ${member.name} is not undone yet`,
      hint: "its process was down at the time; see the agent's log, the agent keeps trying",
    });
  }
  if (cut.has(member.name)) {
    problems.push({
      code: 'restore-unfinished',
      message: `a restore of ${member.name} was cut short and is not ended yet`,
      hint: "restart the agent when its repository can be reached; see the agent's log",
    });
  }
  return problems;
}
