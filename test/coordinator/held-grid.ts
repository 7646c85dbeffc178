import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { ImageManifest, Stamp } from '../../shared/domain/backup-set.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { sha256 } from '../repository/samples.ts';
import { manifestOf } from './descriptions.ts';

export function holdId(counter: number): string {
  return formatCheckpointId({ at: new Date(Date.UTC(2026, 10, 20, 12)), epoch: 0, counter, name: 'held' });
}

export function stamped(counter: number, heldBy: { id: string; purpose: HoldPurpose } | null = null): Stamp {
  return {
    epoch: 0,
    counter,
    heldBy: heldBy === null ? null : { operation: 'job-1', purpose: heldBy.purpose, checkpoint: heldBy.id },
    incarnation: 'life 1',
    stoppedAs: null,
  };
}

/** Of a member of which the data is called as it is, with the journal file that ends at its marks. */
export function imageOf(member: string, image: string): ImageManifest {
  return {
    member,
    image,
    engine: 'postgres',
    dataIdentity: `data of ${member}`,
    entries: [
      {
        kind: 'file',
        path: 'rows',
        mode: 0o600,
        mtimeMs: 1,
        sizeBytes: 7,
        digest: sha256(Buffer.from(member)),
      },
    ],
    firstJournalFile: 'journal-1',
    journalFiles: ['journal-1', `end of ${member}`],
    engineFacts: null,
  };
}

/** Commits what held all members of these hosts, and copied nothing. */
export async function storeHold(
  repository: Repository,
  purpose: HoldPurpose,
  counter: number,
  hosts: readonly HostDescription[],
): Promise<GridManifest> {
  const checkpoint = holdId(counter);
  const token = { epoch: 0, counter, attempt: 1 };
  const described = hosts.flatMap(({ host, members }) => members.map((member) => ({ host, member })));
  const manifest = manifestOf(described);
  const members = await Promise.all(
    manifest.members.map(async (member, index) => {
      const description = described[index]?.member;
      const { name, host, role, copyset, engine, address, primary, traits } = member;
      const assignment = { hold: 'member', part: 'none' } as const;
      const isObserver = description?.freezeKind === 'observer';
      const mark = isObserver ? null : { journalFile: `end of ${name}`, position: '1', name: 'm' };
      const stored = await repository.beginMember('orders', checkpoint).finish({
        format: 1,
        grid: 'orders',
        checkpoint,
        token,
        member: {
          name,
          host,
          role,
          copyset,
          engine,
          address,
          primary,
          traits,
          assignment,
          version: '18.4',
          dataIdentity: isObserver ? '' : `data of ${name}`,
          freezeKind: isObserver ? 'observer' : 'fenced',
        },
        mark,
        engineFacts: null,
      });
      return { ...member, ...stored, assignment, mark };
    }),
  );
  const held = { ...manifest, checkpoint, purpose, counter, token, sizeBytes: 0, storedBytes: 0, members };
  await repository.commit(held);
  return held;
}
