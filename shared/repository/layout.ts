import { join } from 'node:path';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../domain/errors.ts';

/** What is recorded of a member's backup in a set. */
export type BackupRecord = 'begun' | 'ended' | 'read';

/**
 * Where everything lies in a repository directory:
 *
 *   repository.json                                     format and id
 *   grids/<grid>/checkpoints/<id>/grid.json             the commit object, or the word that there will be none
 *   grids/<grid>/checkpoints/<id>/grid.json.deleting    the commit object once its deletion has begun
 *   grids/<grid>/checkpoints/<id>/members/<member>.json
 *   grids/<grid>/chunks/<2 hex>/<key>                   content-addressed
 *   grids/<grid>/operations/<id>.json                   who works here now; garbage collection keeps off
 *   grids/<grid>/leftovers/<id>.json                    a run that may leave chunks that nothing names yet
 *   grids/<grid>/restores/<id>.announced.json           what a restore is of, written before anything is on a host
 *   grids/<grid>/restores/<id>.json                     the decision of a restore, written once
 *   grids/<grid>/retained/<id>.json                     that a checkpoint is kept for good, and why
 *   grids/<grid>/drills/<id>.json                       the report of a drill; nothing depends on it
 *   grids/<grid>/verifications/<time>_<id>.json         that a checkpoint was read as a whole, and what was found
 *   grids/<grid>/epochs/<epoch>.json                    an epoch that the grid was raised to, written once
 *   grids/<grid>/sets/<set>/set.json                    that there is this backup set
 *   grids/<grid>/sets/<set>/set.json.deleting           the same once its deletion has begun
 *   grids/<grid>/sets/<set>/begun/<member>.json         how the member's host stood when its backup began
 *   grids/<grid>/sets/<set>/ended/<member>.json         and when it had ended; the name of the image
 *   grids/<grid>/sets/<set>/read/<member>.json          what its agent found in the image, and the manifest's digest
 *   grids/<grid>/sets/<set>/images/<digest>.json        the manifest of an image, named by the digest of its bytes
 *
 * Names come from files and from the wire, so each is checked before it becomes part of a path.
 */
export class Layout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  identity(): string {
    return join(this.root, 'repository.json');
  }

  grids(): string {
    return join(this.root, 'grids');
  }

  checkpoints(grid: string): string {
    return join(this.grids(), part(grid), 'checkpoints');
  }

  checkpoint(grid: string, checkpoint: string): string {
    if (parseCheckpointId(checkpoint) === null) throw badName(checkpoint);
    return join(this.checkpoints(grid), checkpoint);
  }

  gridManifest(grid: string, checkpoint: string): string {
    return join(this.checkpoint(grid, checkpoint), 'grid.json');
  }

  /** The commit object of a checkpoint whose deletion has begun: it is valid no more. */
  deletedManifest(grid: string, checkpoint: string): string {
    return join(this.checkpoint(grid, checkpoint), 'grid.json.deleting');
  }

  members(grid: string, checkpoint: string): string {
    return join(this.checkpoint(grid, checkpoint), 'members');
  }

  member(grid: string, checkpoint: string, member: string): string {
    return join(this.members(grid, checkpoint), `${part(member)}.json`);
  }

  chunks(grid: string): string {
    return join(this.grids(), part(grid), 'chunks');
  }

  chunk(grid: string, key: string): string {
    if (!isChunkKey(key)) throw badName(key);
    return join(this.chunks(grid), key.slice(0, 2), key);
  }

  operations(grid: string): string {
    return join(this.grids(), part(grid), 'operations');
  }

  operation(grid: string, id: string): string {
    return join(this.operations(grid), `${part(id)}.json`);
  }

  /** The marker of a garbage collection; who collects stands in its name. */
  collection(grid: string, holder: string, id: string): string {
    const collector = holder.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 100);
    return join(this.operations(grid), `collection-${collector}~${id}.json`);
  }

  /** The marker of a deletion, which keeps off those who would read the checkpoint. */
  deletion(grid: string, checkpoint: string, id: string): string {
    return join(this.operations(grid), `deletion-${id}~${part(checkpoint)}.json`);
  }

  leftovers(grid: string): string {
    return join(this.grids(), part(grid), 'leftovers');
  }

  leftover(grid: string, checkpoint: string): string {
    if (parseCheckpointId(checkpoint) === null) throw badName(checkpoint);
    return join(this.leftovers(grid), `${checkpoint}.json`);
  }

  restores(grid: string): string {
    return join(this.grids(), part(grid), 'restores');
  }

  restore(grid: string, restoreId: string): string {
    return join(this.restores(grid), `${part(restoreId)}.json`);
  }

  announcedRestore(grid: string, restoreId: string): string {
    return join(this.restores(grid), `${part(restoreId)}.announced.json`);
  }

  retentions(grid: string): string {
    return join(this.grids(), part(grid), 'retained');
  }

  retention(grid: string, checkpoint: string): string {
    if (parseCheckpointId(checkpoint) === null) throw badName(checkpoint);
    return join(this.retentions(grid), `${checkpoint}.json`);
  }

  drills(grid: string): string {
    return join(this.grids(), part(grid), 'drills');
  }

  drill(grid: string, drillId: string): string {
    return join(this.drills(grid), `${part(drillId)}.json`);
  }

  verifications(grid: string): string {
    return join(this.grids(), part(grid), 'verifications');
  }

  /** Names are in order of time. */
  verification(grid: string, checkpoint: string, atMs: number): string {
    if (parseCheckpointId(checkpoint) === null) throw badName(checkpoint);
    return join(this.verifications(grid), `${String(atMs).padStart(14, '0')}_${checkpoint}.json`);
  }

  sets(grid: string): string {
    return join(this.grids(), part(grid), 'sets');
  }

  set(grid: string, set: string): string {
    return join(this.sets(grid), part(set));
  }

  setHead(grid: string, set: string): string {
    return join(this.set(grid, set), 'set.json');
  }

  deletedSet(grid: string, set: string): string {
    return join(this.set(grid, set), 'set.json.deleting');
  }

  backups(grid: string, set: string, kind: BackupRecord): string {
    return join(this.set(grid, set), kind);
  }

  backup(grid: string, set: string, kind: BackupRecord, member: string): string {
    return join(this.backups(grid, set, kind), `${part(member)}.json`);
  }

  images(grid: string, set: string): string {
    return join(this.set(grid, set), 'images');
  }

  image(grid: string, set: string, digest: string): string {
    if (!/^[0-9a-f]{64}$/.test(digest)) throw badName(digest);
    return join(this.images(grid, set), `${digest}.json`);
  }

  epochs(grid: string): string {
    return join(this.grids(), part(grid), 'epochs');
  }

  epoch(grid: string, epoch: number): string {
    const digits = String(epoch).padStart(8, '0');
    if (!/^\d{8}$/.test(digits)) throw badName(digits);
    return join(this.epochs(grid), `${digits}.json`);
  }
}

/** The digest of the content; a number behind it where earlier copies were found damaged. */
export function isChunkKey(key: string): boolean {
  return /^[0-9a-f]{64}(-[1-9]\d{0,2})?$/.test(key);
}

/** Can this be a single part of a path, that leads nowhere else? */
export function isName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name);
}

function part(name: string): string {
  if (!isName(name)) throw badName(name);
  return name;
}

/** An artifact's path stays inside the member: relative, no `..`, no empty part, no NUL. */
export function checkArtifactPath(path: string): void {
  const parts = path.split('/');
  const bad = path.includes('\0') || parts.some((one) => one === '' || one === '.' || one === '..');
  if (bad || path.length > 4096) {
    throw new StillpointError(
      {
        code: 'manifest-damaged',
        message: `the artifact path ${JSON.stringify(path.slice(0, 200))} leads out of its member`,
        hint: 'do not restore from this checkpoint; find out who wrote it',
      },
      EXIT.invalid,
    );
  }
}

function badName(name: string): StillpointError {
  return new StillpointError({
    code: 'bad-name',
    message: `${JSON.stringify(name.slice(0, 100))} cannot be a name in a repository`,
    hint: 'use letters, digits, dots, dashes and underscores',
  });
}
