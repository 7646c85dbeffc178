import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { ImageSummary } from '../../shared/domain/backup-set.ts';
import { coldMembers } from '../../shared/domain/judge-set.ts';
import type { GridManifest, GridManifestMember } from '../../shared/domain/manifest.ts';
import { HOLD_PURPOSES } from '../../shared/domain/purpose.ts';
import type { Token } from '../../shared/domain/token.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { numberNext } from '../operation-run.ts';
import { type DescribedHost, withRepositoryLease } from '../with-grid.ts';
import { describedHosts, type SetInput } from './begin-set.ts';
import { storingMembers } from './members.ts';

/** Nobody holds a member that does not run, and nothing of it is copied by us. */
const UNHELD = { hold: 'none', part: 'none' } as const;

/**
 * A set of members that were all shut down while they were copied is equal to one that was made in a quiesce. When it is
 * whole, the moment of the shutdown is committed like one, with a number of its own, and the set is restored to that.
 * Resolves to it; null where the set is none of these. Once for a set, however often it is asked.
 */
export async function commitCold(
  input: SetInput & { readonly signal: AbortSignal },
  seen: readonly DescribedHost[],
): Promise<string | null> {
  const { grid, set: name, repository, agents, signal } = input;
  const set = await repository.readSet(grid, name);
  const cold = coldMembers(set);
  const stored = storingMembers(seen);
  if (cold === null || stored.some(({ description }) => !cold.some((one) => one.name === description.name)))
    return null;
  const lain = new Map(cold.map((one) => [one.name, one.stoppedAs]));
  const entries = await repository.list(grid, { purposes: HOLD_PURPOSES });
  const known = entries.find(({ manifest }) => manifest !== null && isOf(manifest, lain));
  if (known !== undefined) return known.checkpoint;
  const images = new Map(set.backups.map(({ member, image }) => [member, image]));
  await agents.claim('checkpoint');
  // Until the grid was ours, another may have taken a number of it.
  const described = await describedHosts(input);
  const { epoch, counter, lineage } = await numberNext({ repository, grid, described, adopt: null, signal });
  const token = { epoch, counter, attempt: 1 };
  const checkpoint = formatCheckpointId({ at: new Date(), ...token, name });
  const operation = { grid, id: crypto.randomUUID(), holder: `set ${name}` };
  await withRepositoryLease(repository, operation, async () => {
    const place = { grid, checkpoint, token, repository };
    const members = await membersOf(place, described, { lain, images });
    await repository.commit(coldManifest({ ...place, lineage, members }));
  });
  return checkpoint;
}

function isOf({ members }: GridManifest, lain: ReadonlyMap<string, string>): boolean {
  return [...lain].every(([name, stoppedAs]) =>
    members.some((member) => member.name === name && member.stoppedAs === stoppedAs),
  );
}

interface ColdPlace {
  readonly grid: string;
  readonly checkpoint: string;
  readonly token: Token;
  readonly repository: Repository;
}

/** Also those that only show what others store: a restore builds them too. */
async function membersOf(
  { grid, checkpoint, token, repository }: ColdPlace,
  described: readonly DescribedHost[],
  known: {
    readonly lain: ReadonlyMap<string, string>;
    readonly images: ReadonlyMap<string, ImageSummary | null>;
  },
): Promise<GridManifestMember[]> {
  const nodes = described.flatMap(({ host }) =>
    host.members
      .filter(({ role, traits }) => role === 'node' && traits.copies !== 'nobody')
      .map((description) => ({ host: host.host, description })),
  );
  // Nobody leads while all are shut down: of a copyset the first that has its rows stands for it.
  const firsts = new Map<string, string>();
  for (const { description } of nodes) {
    const { name, copyset, freezeKind } = description;
    const group = copyset ?? name;
    if (freezeKind !== 'observer' && !firsts.has(group)) firsts.set(group, name);
  }
  return Promise.all(
    nodes.map(async ({ host, description }) => {
      const { name, role, copyset, engine, address, version, freezeKind, traits } = description;
      const primary = firsts.get(copyset ?? name) === name;
      const member = { name, host, role, copyset, engine, address, primary, traits, assignment: UNHELD };
      const dataIdentity = description.dataIdentity || (known.images.get(name)?.dataIdentity ?? '');
      const stored = await repository.beginMember(grid, checkpoint).finish({
        format: 1,
        grid,
        checkpoint,
        token,
        member: { ...member, version, dataIdentity, freezeKind },
        mark: null,
        engineFacts: null,
      });
      const stoppedAs = known.lain.get(name);
      return {
        ...member,
        ...stored,
        mark: null,
        incarnation: '',
        fenceMs: 0,
        markMs: 0,
        thawMs: 0,
        ...(stoppedAs !== undefined && { stoppedAs }),
      };
    }),
  );
}

function coldManifest({
  grid,
  checkpoint,
  token,
  lineage,
  members,
}: Omit<ColdPlace, 'repository'> & {
  readonly lineage: string;
  readonly members: readonly GridManifestMember[];
}): GridManifest {
  return {
    format: 1,
    grid,
    checkpoint,
    purpose: 'quiesce',
    lineage,
    epoch: token.epoch,
    counter: token.counter,
    createdAt: new Date().toISOString(),
    token,
    windowMs: 0,
    durationMs: 0,
    sizeBytes: 0,
    storedBytes: 0,
    journalMap: {},
    copysets: [...new Set(members.flatMap(({ copyset }) => copyset ?? []))],
    members,
    absent: [],
    warnings: [],
  };
}
