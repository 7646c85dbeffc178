import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { HostDescription } from '../shared/domain/grid.ts';
import { highestKnown, type CheckpointNumber } from './checkpoint-number.ts';
import { hasRealm, OR_NO_REALM, runningRealmServices, type RealmKey } from './realm-preflight.ts';

/**
 * The epoch that the grid goes on in. One more than anybody knows; or the one in the repository, where an
 * earlier failover was cut short: no checkpoint is of that epoch, and not every agent knows it yet. Throws, exit
 * code 3, where the grid is not at rest or has no realm service that runs. A pure function.
 */
export function planFailover(input: {
  readonly hosts: readonly HostDescription[];
  readonly realm: RealmKey;
  /** What the repository knows, with the epochs that were raised there. */
  readonly repository: CheckpointNumber;
  /** The highest epoch of a checkpoint in the repository; 0 where it has none. */
  readonly usedEpoch: number;
}): { readonly epoch: number } {
  const { hosts, repository, usedEpoch } = input;
  checkAtRest(hosts);
  checkRealmRuns(hosts, input.realm);
  const known = highestKnown(repository, hosts).epoch;
  const realms = hosts.flatMap(({ members }) => members.flatMap(({ realm }) => realm ?? []));
  const isUnfinished =
    repository.epoch === known &&
    known > Math.max(usedEpoch, ...realms.map(({ highestEpoch }) => highestEpoch)) &&
    hosts.some(({ highestEpoch }) => highestEpoch < known);
  return { epoch: isUnfinished ? known : known + 1 };
}

/** `undo-pending`: the agent could not yet open what an earlier freeze had closed. */
function checkAtRest(hosts: readonly HostDescription[]): void {
  for (const { host, members } of hosts) {
    const held = members.find(
      ({ frozen, problems }) => frozen || problems.some(({ code }) => code === 'undo-pending'),
    );
    if (held === undefined) continue;
    throw refuse({
      code: 'member-frozen',
      message: `${held.name} on ${host} is frozen`,
      hint: "wait until it is thawed: its agent does it; see the agent's log",
      host,
      member: held.name,
    });
  }
}

function checkRealmRuns(hosts: readonly HostDescription[], realm: RealmKey): void {
  const all = hosts.flatMap(({ host, members }) => members.map((description) => ({ host, description })));
  const members = all.map(({ description }) => description);
  if (!hasRealm(members, realm) || runningRealmServices(all).length > 0) return;
  throw refuse({
    code: 'realm-unreachable',
    message: 'no realm service is running',
    hint: members.some(({ role }) => role === 'realm-service')
      ? 'start the grid that takes over, then raise its epoch'
      : `name the realm services in their hosts' agent files; ${OR_NO_REALM}`,
  });
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}
