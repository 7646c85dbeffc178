import { isDeepStrictEqual } from 'node:util';
import { dirname } from 'node:path';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { ChunkReference, GridManifest, GridManifestMember, MemberManifest } from '../domain/manifest.ts';
import { readMember, readOrNull } from './catalogue.ts';
import type { ChunkStore } from './chunk-store.ts';
import { forEachConcurrently } from './concurrency.ts';
import { isThere, retire } from './deletion.ts';
import { createExclusively, syncUpTo } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { checkGridManifest, sealGridManifest } from './manifest-schema.ts';
import type { OperationLease } from './repository.ts';

const LOOKS_AT_ONCE = 32;

/**
 * Writes the commit object, when everything that it needs is stored. The lease keeps garbage collection off
 * from before the first look until after the object stands. Were this process stopped for so long that a
 * collection took it for dead, that collection may have removed what was looked at: then the lease is found
 * lost, and the object is taken back; so it is when anything fails once it may stand.
 */
export async function commitCheckpoint(
  layout: Layout,
  chunks: ChunkStore,
  manifest: GridManifest,
  lease: OperationLease,
): Promise<void> {
  const { grid, checkpoint } = manifest;
  const path = layout.gridManifest(grid, checkpoint);
  checkGridManifest(manifest, path);
  await checkStored(layout, chunks, manifest);
  const text = sealGridManifest(manifest);
  let stoodThere = false;
  try {
    await syncUpTo(layout.root, [layout.checkpoints(grid)]);
    // Never made anew: when it is gone, the checkpoint was given up and all of it removed since we looked.
    if (!(await isThere(dirname(path)))) throw alreadyDecided(checkpoint);
    stoodThere = !(await createExclusively(path, text, true));
    if (stoodThere) throw alreadyDecided(checkpoint);
    // Or it is being removed just now, and what shut us out is gone before its directory: manifests went first.
    if (!(await haveManifests(layout, manifest))) throw alreadyDecided(checkpoint);
    if (!(await lease.refresh())) throw takenForDead(checkpoint);
  } catch (error) {
    // What was committed before is not ours to take, also where it says the same to the letter.
    if (!stoodThere) await takeBack(layout, manifest, text, error);
    throw error;
  }
}

async function haveManifests(layout: Layout, { grid, checkpoint, members }: GridManifest): Promise<boolean> {
  const found = await Promise.all(members.map(({ name }) => isThere(layout.member(grid, checkpoint, name))));
  return !found.includes(false);
}

/**
 * Whoever is told that a commit failed must not find the checkpoint valid. The object may stand: its name was
 * given, and what came after that failed. Rejects `commit-unknown` where it cannot be taken back either.
 */
async function takeBack(
  layout: Layout,
  { grid, checkpoint }: GridManifest,
  text: string,
  cause: unknown,
): Promise<void> {
  try {
    const found = await readOrNull(layout.gridManifest(grid, checkpoint));
    // Given up by somebody else, or committed by another who salvages the same checkpoint: not ours to take.
    if (found !== null && found.toString() !== text) return;
    await retire(layout, grid, checkpoint);
  } catch {
    throw commitUnknown(checkpoint, cause);
  }
}

async function checkStored(layout: Layout, chunks: ChunkStore, manifest: GridManifest): Promise<void> {
  const { grid, checkpoint } = manifest;
  const looked = new Set<string>();
  for (const entry of manifest.members) {
    const { name, manifestDigest } = entry;
    const member = await readMember(layout, grid, checkpoint, name, manifestDigest);
    checkSame(manifest, entry, member);
    for (const artifact of member.artifacts) {
      if (artifact.kind !== 'file') continue;
      const fresh = artifact.chunks.filter(({ key }) => !looked.has(key));
      for (const { key } of fresh) looked.add(key);
      await forEachConcurrently(fresh, LOOKS_AT_ONCE, async (chunk) => {
        if (!(await chunks.isStored(grid, chunk))) throw notStored(name, artifact.path, chunk);
      });
    }
  }
}

/** What is committed of a member is what it stored: not its manifest of another attempt, mark or place. */
function checkSame(grid: GridManifest, entry: GridManifestMember, stored: MemberManifest): void {
  const sizeBytes = stored.artifacts.reduce((sum, one) => sum + (one.kind === 'file' ? one.sizeBytes : 0), 0);
  const { host, role, copyset, engine, address, primary, traits, assignment } = stored.member;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['token', grid.token, stored.token],
    ['mark', entry.mark, stored.mark],
    ['host', entry.host, host],
    ['role', entry.role, role],
    ['copyset', entry.copyset, copyset],
    ['engine', entry.engine, engine],
    ['address', entry.address, address],
    ['primary', entry.primary, primary],
    ['traits', entry.traits, traits],
    ['assignment', entry.assignment, assignment],
    ['size', entry.sizeBytes, sizeBytes],
  ];
  const differing = pairs.find(([, said, found]) => !isDeepStrictEqual(said, found));
  if (differing === undefined) return;
  throw new StillpointError(
    {
      code: 'manifest-differs',
      message: `the manifest that ${entry.name} stored is not of what it said: its ${differing[0]} differs`,
      hint: 'nothing was committed: create the checkpoint again; where it stays so, look at the agent of this member',
      host: entry.host,
      member: entry.name,
    },
    EXIT.aborted,
  );
}

function notStored(member: string, path: string, chunk: ChunkReference): StillpointError {
  return new StillpointError(
    {
      code: 'chunk-damaged',
      message: `${member}: ${path}: chunk ${chunk.key} is not stored as its manifest says`,
      hint: 'look at the disk of the repository, then create the checkpoint again',
      member,
    },
    EXIT.aborted,
  );
}

function alreadyDecided(checkpoint: string): StillpointError {
  return new StillpointError(
    {
      code: 'checkpoint-exists',
      message: `${checkpoint} was committed or given up already`,
      hint: 'start the checkpoint again: it gets a number of its own',
    },
    EXIT.aborted,
  );
}

function takenForDead(checkpoint: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-busy',
      message: `${checkpoint} is not committed: this process was silent for so long that it was taken for dead`,
      hint: 'create the checkpoint again, on a machine that does not stop its processes',
    },
    EXIT.aborted,
  );
}

function commitUnknown(checkpoint: string, cause: unknown): StillpointError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StillpointError(
    {
      code: 'commit-unknown',
      message: `whether ${checkpoint} is committed is not known: ${why}, and it could not be taken back`,
      hint: 'when the repository can be used again, see stillpoint checkpoint list, and verify or delete it',
    },
    EXIT.aborted,
    { cause },
  );
}
