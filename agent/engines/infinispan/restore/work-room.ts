import { chmod, chown, lstat, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { syncDirectory, writeWhole } from '../../../../shared/runtime/whole-file.ts';
import { hostDiskError } from '../../../disk-error.ts';
import type { RestoreContext } from '../../engine.ts';

/**
 * Where a restore of a cluster works, beside the root of the server that it goes through:
 *
 *   <parent>/.stillpoint-<name>/checkpoint.zip   what is restored
 *   <parent>/.stillpoint-<name>/before.zip       what the cluster held before: what a roll-back restores
 *   <parent>/.stillpoint-<name>/now.zip          what the cluster holds, while it is proven
 *   <parent>/.stillpoint-<name>/restore.json     how far the restore is: written first, removed last
 *
 * Forward and back can be taken up again from what lies there, by another process, any number of times.
 */
const RECORD = 'restore.json';

export type ArchiveName = 'checkpoint.zip' | 'before.zip' | 'now.zip';

const cacheBefore = z.object({
  name: z.string(),
  type: z.string(),
  /** As JSON text. */
  configuration: z.string(),
  /** Made at run time, and kept by the servers; else their configuration file defines it, or it ends with them. */
  isKept: z.boolean(),
});
export type CacheBefore = z.infer<typeof cacheBefore>;

const recordSchema = z.object({
  format: z.literal(1),
  restore: z.object({ grid: z.string(), restoreId: z.string(), repositoryId: z.string() }).optional(),
  /** Clients are kept out, or may be. */
  isFenced: z.boolean(),
  /** What the cluster held is complete in `before.zip`, and may not be on the cluster any more. */
  isReplaced: z.boolean(),
  fenced: z.object({ caches: z.array(z.string()), connectors: z.array(z.string()) }),
  servers: z.array(z.string()),
  caches: z.array(cacheBefore),
});
export type RestoreRecord = z.infer<typeof recordSchema>;

/** Others may pass: the server reads its archive there, by its name. */
const ROOM_MODE = 0o711;
const ARCHIVE_MODE = 0o400;

export class WorkRoom {
  readonly #path: string;

  /** `root`: of the server. */
  constructor(root: string) {
    this.#path = join(dirname(root), `.stillpoint-${basename(root)}`);
  }

  get path(): string {
    return this.#path;
  }

  archive(name: ArchiveName): string {
    return join(this.#path, name);
  }

  /** Null where no restore has begun here. Rejects `restore-unfinished` where what lies there cannot be read. */
  async read(): Promise<RestoreRecord | null> {
    const path = join(this.#path, RECORD);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      return recordSchema.parse(JSON.parse(text));
    } catch (error) {
      throw new StillpointError(
        {
          code: 'restore-unfinished',
          message: `the record of an earlier restore cannot be read: ${path}`,
          hint: `${this.archive('before.zip')} has what the cluster held before it: restore that by hand where it is needed, then remove ${this.#path}`,
        },
        EXIT.refused,
        { cause: error },
      );
    }
  }

  /** Durable on return. */
  async write(record: RestoreRecord): Promise<void> {
    await writeWhole(join(this.#path, RECORD), JSON.stringify(record), 0o600).catch((error: unknown) => {
      throw diskError(error, this.#path);
    });
  }

  /** Makes it anew, with nothing in it but how the restore is called. */
  async begin(restore: RestoreContext['restore']): Promise<void> {
    await rm(this.#path, { recursive: true, force: true });
    await mkdir(this.#path, { recursive: true, mode: ROOM_MODE });
    // Whatever the umask is.
    await chmod(this.#path, ROOM_MODE);
    const none = { isFenced: false, isReplaced: false, servers: [], caches: [] };
    const named = restore === undefined ? {} : { restore };
    await this.write({ format: 1, ...named, ...none, fenced: { caches: [], connectors: [] } });
  }

  /**
   * An archive that `fill` writes into the path it is given: whole and durable on return, for the server's user to read;
   * not there at all where it rejects.
   */
  async put(name: ArchiveName, reader: Owner, fill: (path: string) => Promise<void>): Promise<void> {
    const part = `${this.archive(name)}.part`;
    await rm(part, { force: true });
    await fill(part).catch(async (error: unknown) => {
      await rm(part, { force: true });
      throw diskError(error, this.#path);
    });
    const file = await open(part, 'r+');
    try {
      const { uid, gid } = await file.stat();
      if (uid !== reader.uid || gid !== reader.gid) await chown(part, reader.uid, reader.gid);
      await file.chmod(ARCHIVE_MODE);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, this.archive(name));
    await syncDirectory(this.#path);
  }

  async has(name: ArchiveName): Promise<boolean> {
    return lstat(this.archive(name)).then(
      () => true,
      () => false,
    );
  }

  /** Of a restore that goes back: archives that only go forward. They may have all the room that it needs. */
  async makeRoom(): Promise<void> {
    for (const name of ['checkpoint.zip', 'now.zip'] as const) await this.#drop(name);
  }

  /** The record last: what lies there until then names its restore. Idempotent. */
  async remove(): Promise<void> {
    for (const name of ['checkpoint.zip', 'now.zip', 'before.zip'] as const) await this.#drop(name);
    await rm(this.#path, { recursive: true, force: true });
  }

  async #drop(name: ArchiveName): Promise<void> {
    await rm(this.archive(name), { force: true });
    await rm(`${this.archive(name)}.part`, { force: true });
  }
}

function diskError(error: unknown, path: string): unknown {
  return hostDiskError(error, path, {
    noRoomFor: 'for the archives of the restore',
    hint: 'that of the checkpoint, one of what the cluster holds, and one of what it holds afterwards lie there until the restore is decided: make room for all',
  });
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** As whom the server runs, by what it keeps its state in. Null where that is not on this host. */
export async function serverOwner(stateDirectory: string): Promise<Owner | null> {
  return stat(stateDirectory).then(
    ({ uid, gid }) => ({ uid, gid }),
    () => null,
  );
}
