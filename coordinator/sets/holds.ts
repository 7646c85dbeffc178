import type { BackupSet } from '../../shared/domain/backup-set.ts';
import { stampedHolds, type HeldMember, type Hold } from '../../shared/domain/judge-set.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { HOLD_PURPOSES, type HoldPurpose } from '../../shared/domain/purpose.ts';
import type { CatalogueEntry, Repository } from '../../shared/repository/repository.ts';

/** The manifest of what copied nothing. */
export type HoldManifest = GridManifest & { readonly purpose: HoldPurpose };

/** Every quiesce, freeze and journal checkpoint of the grid, the newest first. */
export async function holdsOf(repository: Repository, grid: string): Promise<CatalogueEntry[]> {
  const entries = await repository.list(grid, { purposes: HOLD_PURPOSES });
  return entries.filter(({ manifest }) => manifest === null || isHold(manifest));
}

export function isHold(manifest: GridManifest): manifest is HoldManifest {
  return manifest.purpose !== undefined;
}

/** What a set is held against: the members that stored data, and where their marks are. */
export async function holdOf(repository: Repository, manifest: HoldManifest): Promise<Hold> {
  const { grid, checkpoint, purpose, epoch, counter } = manifest;
  const members = await Promise.all(
    manifest.members.map(async ({ name, manifestDigest, mark, stoppedAs, traits }): Promise<HeldMember[]> => {
      const { member } = await repository.readMember(grid, checkpoint, name, manifestDigest);
      if (member.freezeKind === 'observer' || traits.copies === 'nobody') return [];
      const { dataIdentity } = member;
      return [{ name, journalFile: mark?.journalFile ?? null, dataIdentity, stoppedAs: stoppedAs ?? null }];
    }),
  );
  return { type: 'committed', checkpoint, purpose, epoch, counter, members: members.flat() };
}

/** Those holds under which members of a set were copied that the repository does not have: they never proved to hold. */
export function unprovenOf(set: BackupSet, entries: readonly CatalogueEntry[]): string[] {
  const proven = new Set(
    entries.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint),
  );
  return stampedHolds(set).filter((checkpoint) => !proven.has(checkpoint));
}
