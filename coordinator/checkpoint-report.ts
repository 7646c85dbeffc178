import type { JournalMap } from '../shared/domain/grid.ts';
import type { GridManifest, GridManifestMember } from '../shared/domain/manifest.ts';
import type { HoldPurpose } from '../shared/domain/purpose.ts';
import { warningLine, type Warning } from '../shared/domain/warning.ts';
import type { CommitProof } from '../shared/protocol/coordinator-machine.ts';
import type { GridFile } from './grid-file.ts';
import type { PreflightReport } from './preflight.ts';
import type { CheckpointReport } from './reports.ts';

/** The commit object of a checkpoint that is proven and stored. */
export function gridManifest(input: {
  readonly gridFile: GridFile;
  readonly identity: { readonly checkpoint: string; readonly lineage: string };
  readonly proof: CommitProof;
  /** Of what copies nothing. Not set: a checkpoint. */
  readonly purpose?: HoldPurpose | undefined;
  readonly report: Pick<PreflightReport, 'members' | 'copysets' | 'absent' | 'warnings'>;
  /** What was found while members were stored. */
  readonly found: readonly Warning[];
  readonly durationMs: number;
}): GridManifest {
  const { gridFile, identity, proof, purpose, report, found: stored, durationMs } = input;
  const { checkpoint, lineage } = identity;
  const members = proof.members.map((proven) => {
    const found = report.members.find(({ description }) => description.name === proven.name);
    if (found === undefined) throw new Error(`no description of ${proven.name}`);
    const { description, host } = found;
    return {
      name: description.name,
      host,
      role: description.role,
      copyset: description.copyset,
      engine: description.engine,
      address: description.address,
      primary: description.primary,
      traits: description.traits,
      assignment: proven.assignment,
      manifestDigest: proven.manifestDigest,
      mark: proven.mark,
      incarnation: proven.incarnation ?? description.incarnation,
      fenceMs: proven.fenceMs,
      markMs: proven.markMs,
      thawMs: proven.thawMs,
      sizeBytes: proven.sizeBytes,
      storedBytes: proven.storedBytes,
    };
  });
  const sum = (of: (member: (typeof members)[number]) => number): number =>
    members.reduce((all, one) => all + of(one), 0);
  return {
    format: 1,
    grid: gridFile.grid,
    checkpoint,
    ...(purpose !== undefined && { purpose }),
    lineage,
    epoch: proof.token.epoch,
    counter: proof.token.counter,
    createdAt: new Date().toISOString(),
    token: proof.token,
    windowMs: proof.windowMs,
    durationMs,
    sizeBytes: sum((member) => member.sizeBytes),
    storedBytes: sum((member) => member.storedBytes),
    journalMap: journalMapOf(members),
    copysets: report.copysets,
    members,
    absent: report.absent.map(({ name }) => name),
    warnings: [...report.warnings, ...stored].map(warningLine),
  };
}

/** `hostname:port` of each member that marks with a journal file → the one that ends there. */
export function journalMapOf(
  members: readonly Pick<GridManifestMember, 'address' | 'traits' | 'mark'>[],
): JournalMap {
  return Object.fromEntries(
    members.flatMap(({ address, traits, mark }) =>
      mark === null || mark.journalFile === null || !traits.marksJournalFile
        ? []
        : [[address, mark.journalFile]],
    ),
  );
}

export function checkpointReport(manifest: GridManifest): CheckpointReport {
  return {
    checkpoint: manifest.checkpoint,
    grid: manifest.grid,
    epoch: manifest.epoch,
    counter: manifest.counter,
    journalMap: manifest.journalMap,
    windowMs: rounded(manifest.windowMs),
    durationMs: Math.round(manifest.durationMs),
    sizeBytes: manifest.sizeBytes,
    storedBytes: manifest.storedBytes,
    members: manifest.members.map((member) => ({
      name: member.name,
      host: member.host,
      role: member.role,
      engine: member.engine,
      address: member.address,
      state: stateOf(member),
      mark: member.mark?.position ?? null,
      fenceMs: rounded(member.fenceMs),
      markMs: rounded(member.markMs),
      thawMs: rounded(member.thawMs),
      sizeBytes: member.sizeBytes,
      storedBytes: member.storedBytes,
    })),
    absent: manifest.absent,
    warnings: manifest.warnings,
  };
}

/** A member of which nothing is stored, although others would hold or miss its data, is not called captured. */
function stateOf({ assignment: { hold, part }, mark }: GridManifestMember): 'captured' | 'held' | 'covered' {
  if (part !== 'none') return 'captured';
  if (hold === 'none') return 'covered';
  return mark === null ? 'captured' : 'held';
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
