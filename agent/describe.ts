import { statfs } from 'node:fs/promises';
import type { Failure } from '../shared/domain/errors.ts';
import type { HostDescription, MemberDescription } from '../shared/domain/grid.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { version } from '../shared/runtime/version.ts';
import type { AgentMember } from './agent-member.ts';
import type { Finding } from './engines/engine.ts';
import { memberRoom, type KeepFree } from './room-watch.ts';
import type { ClaimedWork, HostClaim } from './host-claim.ts';
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
  claim: Pick<HostClaim<ClaimedWork>, 'frozenMembers' | 'unfinished'>,
): Promise<{ host: HostDescription; repositoryId: string }> {
  const highest = context.state.highestToken();
  const [disk, repository, members, unfinished, lineage, short] = await Promise.all([
    statfs(context.state.path),
    context.repository(),
    Promise.all(
      [...context.members.values()].map((member) =>
        member.engine.describe(AbortSignal.timeout(DESCRIBE_TIMEOUT_MS)),
      ),
    ),
    context.state.restoreRecords(),
    context.state.lineage(),
    shortOfRoom(context),
  ]);
  const cut = new Set(unfinished.map((record) => record.member));
  const frozen = claim.frozenMembers();
  const left = new Map([...context.undoKeeper.left(), ...claim.unfinished()]);
  return {
    repositoryId: repository.id,
    host: {
      host: context.host,
      grid: context.file.grid,
      agentVersion,
      highestEpoch: highest?.epoch ?? 0,
      highestCounter: highest?.counter ?? 0,
      stateFreeBytes: disk.bavail * disk.bsize,
      lineage,
      members: members.map((member) => ({
        ...member,
        frozen: frozen.has(member.name),
        problems: [
          ...problemsOfAgent(member, left, cut),
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
  readonly undoKeeper: UndoKeeper;
}): Promise<Finding[]> {
  // A member that is described says so itself.
  const forgotten = [...context.undoKeeper.left()].flatMap(([member, cause]): Finding[] =>
    context.members.has(member)
      ? []
      : [{ level: 'problem', failure: { ...undoPending(member, cause), member, host: context.host } }],
  );
  const findings = await Promise.all(
    [...context.members.values()].map(async (member) =>
      (await member.engine.diagnose(AbortSignal.timeout(DIAGNOSE_TIMEOUT_MS))).map(({ level, failure }) => ({
        level,
        failure: { ...failure, member: member.name, host: context.host },
      })),
    ),
  );
  return [...forgotten, ...findings.flat()];
}

function problemsOfAgent(
  member: MemberDescription,
  left: ReadonlyMap<string, Failure>,
  cut: ReadonlySet<string>,
): MemberDescription['problems'] {
  const problems = [];
  const cause = left.get(member.name);
  if (cause !== undefined) problems.push(undoPending(member.name, cause));
  if (cut.has(member.name)) {
    problems.push({
      code: 'restore-unfinished',
      message: `a restore of ${member.name} was cut short and is not ended yet`,
      hint: 'systemctl restart stillpoint-agent when its repository can be reached: it ends the restore as that was decided; journalctl -u stillpoint-agent says what is in the way',
    });
  }
  return problems;
}

function undoPending(member: string, cause: Failure): Failure {
  return {
    code: 'undo-pending',
    message: `an earlier freeze of ${member} is not undone yet: ${cause.message}`,
    hint: `${cause.hint}; the agent keeps trying`,
  };
}
