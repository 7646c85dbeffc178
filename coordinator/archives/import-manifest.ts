import { HELD_BY_NOBODY } from '../../shared/domain/assignment.ts';
import type { GridManifest, MemberManifest } from '../../shared/domain/manifest.ts';
import type { Token } from '../../shared/domain/token.ts';
import { warningLine } from '../../shared/domain/warning.ts';
import type { ImportedMember } from '../../shared/domain/wire.ts';
import type { Numbered } from '../operation-run.ts';
import type { ImportReport } from '../reports.ts';
import type { ImportTarget } from './import-target.ts';

/** What is known of the operation once it is accepted. */
export interface Accepted {
  readonly target: ImportTarget;
  readonly number: Numbered;
  readonly checkpoint: string;
  /** The checkpoint that is never committed: the archive lies in it until it is read. */
  readonly given: string;
}

export interface Stored {
  readonly manifestDigest: string;
  readonly storedBytes: number;
  /** Of the archive, SHA-256. */
  readonly sha256: string;
}

export const BECOMES_THAT = 'a restore brings all members of the group to what is in it, and to nothing else';

/** Nothing is frozen under it. */
function tokenOf({ epoch, counter }: Numbered): Token {
  return { epoch, counter, attempt: 1 };
}

/** Of the archive as it was brought, before anybody has read it: no more than where its bytes are. */
export function givenManifest(
  grid: string,
  { target, number, given }: Accepted,
): Omit<MemberManifest, 'artifacts'> {
  const { host, description } = target;
  const { name, role, copyset, engine, address, traits, primary, freezeKind } = description;
  return {
    format: 1,
    grid,
    checkpoint: given,
    token: tokenOf(number),
    member: {
      name,
      host: host.host,
      role,
      copyset,
      engine,
      address,
      traits,
      assignment: HELD_BY_NOBODY,
      version: '',
      dataIdentity: '',
      primary,
      freezeKind,
    },
    mark: null,
    engineFacts: null,
  };
}

/** The commit object. */
export function importedManifest(input: {
  readonly accepted: Accepted;
  readonly stored: Stored;
  readonly imported: ImportedMember;
  /** As the agent has stored it. */
  readonly member: MemberManifest;
  /** The name of the archive. */
  readonly file: string;
  readonly durationMs: number;
}): GridManifest {
  const { accepted, stored, imported, member, file, durationMs } = input;
  const { number, checkpoint } = accepted;
  const { name, host, role, copyset, engine, address, primary, traits, assignment } = member.member;
  const { manifestDigest, sizeBytes, writtenAt, leftOut } = imported;
  const storedBytes = stored.storedBytes + imported.storedBytes;
  return {
    format: 1,
    grid: member.grid,
    checkpoint,
    imported: { file, sha256: stored.sha256, writtenAt },
    lineage: number.lineage,
    epoch: number.epoch,
    counter: number.counter,
    createdAt: new Date().toISOString(),
    token: tokenOf(number),
    windowMs: 0,
    durationMs,
    sizeBytes,
    storedBytes,
    journalMap: {},
    copysets: copyset === null ? [] : [copyset],
    members: [
      {
        name,
        host,
        role,
        copyset,
        engine,
        address,
        primary,
        traits,
        assignment,
        manifestDigest,
        mark: null,
        incarnation: '',
        fenceMs: 0,
        markMs: 0,
        thawMs: 0,
        sizeBytes,
        storedBytes,
      },
    ],
    absent: [],
    warnings: [
      ...(leftOut === null ? [] : [`${file} was made without ${leftOut}; ${BECOMES_THAT}`]),
      ...(member.warnings ?? []).map(warningLine),
    ],
  };
}

export function reportOf(manifest: GridManifest, content: readonly string[]): ImportReport {
  const { checkpoint, grid, epoch, counter, imported, durationMs, sizeBytes, storedBytes } = manifest;
  if (imported === undefined) throw new Error(`${checkpoint} was not imported`);
  return {
    checkpoint,
    grid,
    epoch,
    counter,
    imported,
    content,
    durationMs: Math.round(durationMs),
    sizeBytes,
    storedBytes,
    members: manifest.members.map((member) => ({
      name: member.name,
      host: member.host,
      role: member.role,
      engine: member.engine,
      address: member.address,
      state: 'imported',
      sizeBytes: member.sizeBytes,
      storedBytes: member.storedBytes,
    })),
    warnings: manifest.warnings,
  };
}
