import { createCipheriv, createHash } from 'node:crypto';
import { BY_ITSELF, HELD_BY_NOBODY } from '../../shared/domain/assignment.ts';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { Traits } from '../../shared/domain/grid.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { GridManifest, GridManifestMember, MemberManifest } from '../../shared/domain/manifest.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';
import type { Repository } from '../../shared/repository/repository.ts';

/** Content and manifests for tests of the repository. */
export const LINEAGE = '5ab3f1c2-0a6e-4f3b-9a53-0d1f6f8f2b11';
export const GRID = 'orders';
const MARK = { journalFile: '0000000100000000000000A3', position: '0/A3000188', name: 'stillpoint_7_1' };

/** Of a member that is held alone, has standbys that follow it, and marks with a journal file. */
export function serverTraits(name: string, changes: Partial<Traits> = {}): Traits {
  return {
    domain: name,
    copies: 'each',
    standbys: 'follow',
    maintenance: false,
    inRealm: false,
    renamable: true,
    maxMembers: null,
    compatibility: '18',
    marksJournalFile: true,
    restoresRunning: false,
    archive: null,
    ...changes,
  };
}
export const CHUNK_BYTES = 4 * 1024 * 1024;

export type Files = Readonly<Record<string, Uint8Array>>;
export type Members = Readonly<Record<string, Files>>;

export function checkpointId(counter: number, epoch = 0): string {
  return formatCheckpointId({ at: new Date(Date.UTC(2026, 10, 20, 12)), epoch, counter, name: 'nightly' });
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes that cannot be compressed, the same for the same seed. */
export function noise(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Bytes that can be compressed. */
export function rows(length: number, seed: string): Buffer {
  let text = '';
  for (let row = 0; text.length < length; row += 1) text += `${seed} row ${row} of the table of orders\n`;
  return Buffer.from(text).subarray(0, length);
}

/** A stream of the bytes in pieces of this size. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** A stream that fails after these bytes. */
export async function* breakingOff(bytes: Uint8Array, message: string): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error(message);
}

export async function collect(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Everything of a member manifest but its artifacts. */
export function memberHead(checkpoint: string, name: string): Omit<MemberManifest, 'artifacts'> {
  return {
    format: 1,
    grid: GRID,
    checkpoint,
    token: { epoch: 0, counter: Number(checkpoint.split('_')[2]), attempt: 1 },
    member: {
      name,
      host: 'alpha.example',
      role: 'node',
      copyset: 'orders-1',
      engine: 'postgres',
      address: `${name}.example:5432`,
      version: '18.4',
      dataIdentity: '7391',
      primary: true,
      freezeKind: 'fenced',
      traits: serverTraits(name),
      assignment: BY_ITSELF,
    },
    mark: MARK,
    engineFacts: { timeline: 1 },
  };
}

export async function storeMember(
  repository: Repository,
  checkpoint: string,
  name: string,
  files: Files,
): Promise<GridManifestMember> {
  const writer = repository.beginMember(GRID, checkpoint);
  writer.directory({ path: 'base', mode: 0o700 });
  for (const [path, bytes] of Object.entries(files)) {
    await writer.file({ path, mode: 0o600, mtimeMs: 1_790_000_000_000 }, inPieces(bytes));
  }
  return gridMember(name, await writer.finish(memberHead(checkpoint, name)));
}

export function gridMember(
  name: string,
  finished: { manifestDigest: string; sizeBytes: number; storedBytes: number },
): GridManifestMember {
  return {
    name,
    host: 'alpha.example',
    role: 'node',
    copyset: 'orders-1',
    engine: 'postgres',
    address: `${name}.example:5432`,
    primary: true,
    traits: serverTraits(name),
    assignment: BY_ITSELF,
    mark: MARK,
    incarnation: 'started 12:00',
    fenceMs: 0.4,
    markMs: 0.8,
    thawMs: 0.5,
    ...finished,
  };
}

export function gridManifest(checkpoint: string, members: readonly GridManifestMember[]): GridManifest {
  const counter = Number(checkpoint.split('_')[2]);
  const sum = (of: 'sizeBytes' | 'storedBytes'): number => members.reduce((all, one) => all + one[of], 0);
  return {
    format: 1,
    grid: GRID,
    checkpoint,
    lineage: LINEAGE,
    epoch: 0,
    counter,
    createdAt: '2026-11-20T12:00:00.000Z',
    token: { epoch: 0, counter, attempt: 1 },
    windowMs: 1.9e-7,
    durationMs: 8123,
    sizeBytes: sum('sizeBytes'),
    storedBytes: sum('storedBytes'),
    journalMap: { 'orders-1a.example:5432': '0000000100000000000000A3' },
    copysets: ['orders-1'],
    members,
    absent: [],
    warnings: [],
  };
}

/** Stores and commits a checkpoint of these members. */
export async function storeCheckpoint(
  repository: Repository,
  checkpoint: string,
  members: Members,
): Promise<GridManifest> {
  const stored: GridManifestMember[] = [];
  for (const [name, files] of Object.entries(members)) {
    stored.push(await storeMember(repository, checkpoint, name, files));
  }
  const manifest = gridManifest(checkpoint, stored);
  await repository.commit(manifest);
  return manifest;
}

/** Commits an operation that copies nothing. */
export async function storeHeld(
  repository: Repository,
  checkpoint: string,
  purpose: HoldPurpose,
): Promise<GridManifest> {
  const member = await storeMember(repository, checkpoint, 'a', {});
  const manifest = { ...gridManifest(checkpoint, [member]), purpose };
  await repository.commit(manifest);
  return manifest;
}

/** Commits what was made of an archive that somebody brought. */
export async function storeImported(
  repository: Repository,
  checkpoint: string,
  archive: Uint8Array = Buffer.from('an archive'),
): Promise<GridManifest> {
  const traits = serverTraits('a', { archive: 'backup.zip' });
  const assignment = HELD_BY_NOBODY;
  const writer = repository.beginMember(GRID, checkpoint);
  await writer.file({ path: 'backup.zip', mode: 0o600, mtimeMs: 0 }, inPieces(archive));
  const head = memberHead(checkpoint, 'a');
  const member = { ...head.member, traits, assignment };
  const finished = await writer.finish({ ...head, member, mark: null });
  const manifest = {
    ...gridManifest(checkpoint, [{ ...gridMember('a', finished), traits, assignment, mark: null }]),
    imported: { file: 'a.zip', sha256: sha256(archive), writtenAt: null },
  };
  await repository.commit(manifest);
  return manifest;
}

/** The stored manifest of one member of a committed checkpoint. */
export async function memberOf(
  repository: Repository,
  checkpoint: string,
  name: string,
): Promise<MemberManifest> {
  const { members } = await repository.readCheckpoint(GRID, checkpoint);
  const member = members.find((one) => one.name === name);
  if (member === undefined) throw new Error(`no member ${name} in ${checkpoint}`);
  return repository.readMember(GRID, checkpoint, name, member.manifestDigest);
}

/** All files of a member, as a restore would read them. */
export async function readBack(
  repository: Repository,
  checkpoint: string,
  name: string,
): Promise<Record<string, Buffer>> {
  const manifest = await memberOf(repository, checkpoint, name);
  const files: Record<string, Buffer> = {};
  for (const artifact of manifest.artifacts) {
    if (artifact.kind === 'file')
      files[artifact.path] = await collect(repository.readFile(manifest, artifact.path));
  }
  return files;
}

/** The failure with which a promise rejects; an error when it resolves or rejects with anything else. */
export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  }
  throw new Error('expected a failure, and there was none');
}

export async function verified(repository: Repository, checkpoint: string): Promise<string[]> {
  const damage = await repository.verify(GRID, checkpoint, () => undefined);
  return damage.map(({ member, file }) => `${member ?? 'grid'}: ${file}`);
}
