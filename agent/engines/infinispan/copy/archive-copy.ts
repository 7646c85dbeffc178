import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';
import { agentDiskError } from '../../../disk-error.ts';
import type { Copy, CopyContext, JournalContext } from '../../engine.ts';
import { OneCallAtATime } from '../../one-call-at-a-time.ts';
import { readArchive, type ArchiveContent } from '../archive/archive.ts';
import type { Captured, ClusterHold } from '../hold/cluster-hold.ts';
import { SERVERS_OWN } from '../hold/fence.ts';
import type { HoldPace } from '../hold/hold-pace.ts';
import { ARCHIVE_PATH, type ClusterFacts } from './facts.ts';

/**
 * Stores the archive that the server wrote while its cluster was held. It comes to this host first: every byte of it is
 * read, counted and compared with what was held before any of it is stored. The server keeps it until the hold is released.
 */
export class ArchiveCopy implements Copy {
  readonly #hold: Pick<ClusterHold, 'captured'>;
  readonly #context: CopyContext;
  readonly #file: string;
  readonly #pace: HoldPace;
  readonly #calls = new OneCallAtATime();

  constructor(
    hold: Pick<ClusterHold, 'captured'>,
    context: CopyContext & Pick<JournalContext, 'spoolDirectory'>,
    pace: HoldPace,
  ) {
    this.#hold = hold;
    this.#context = context;
    this.#pace = pace;
    this.#file = join(context.spoolDirectory, ARCHIVE_PATH);
  }

  /** Nothing that is read before the hold belongs to its checkpoint. */
  begin(): Promise<void> {
    return Promise.resolve();
  }

  finish(): Promise<ClusterFacts> {
    return this.#calls.run(async () => {
      const { signal } = this.#calls;
      const { captured } = this.#hold;
      await captured.server.saveBackup(captured.backup, this.#file, signal).catch((error: unknown) => {
        throw agentDiskError(
          error,
          'the archive of a cluster comes to its state directory before it is stored',
        );
      });
      const content = await readArchive(this.#file, signal);
      mustBeWhatWasHeld(content, captured);
      const archive = await this.#store();
      await rm(this.#file, { force: true });
      const entries = content.caches.reduce((all, cache) => all + cache.entries, 0);
      await this.#pace.stored(entries, archive.sizeBytes);
      const { standing, heldMs, backupMs } = captured;
      return {
        kind: 'cluster',
        ...content,
        servers: standing.servers.members,
        archive,
        heldMs: Math.round(heldMs),
        backupMs: Math.round(backupMs),
      };
    });
  }

  async abandon(): Promise<void> {
    await this.#calls.ended();
    await rm(this.#file, { force: true });
  }

  async #store(): Promise<ClusterFacts['archive']> {
    const { artifacts, progress } = this.#context;
    const { size, mtimeMs } = await stat(this.#file);
    const whole = createHash('sha256');
    let done = 0;
    async function* content(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
      for await (const bytes of createReadStream(file) as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        whole.update(bytes);
        done += bytes.byteLength;
        progress(done, size);
        yield bytes;
      }
    }
    const entry = { path: ARCHIVE_PATH, mode: 0o600, mtimeMs: Math.round(mtimeMs) };
    const { sizeBytes } = await artifacts.file(entry, content(this.#file, this.#calls.signal));
    return { path: ARCHIVE_PATH, sizeBytes, sha256: whole.digest('hex') };
  }
}

/** The archive has each cache that was held and no other, and counters as they stood all the time. */
function mustBeWhatWasHeld(content: ArchiveContent, { standing, counters }: Captured): void {
  const held = standing.caches.filter((cache) => !SERVERS_OWN.includes(cache));
  const archived = content.caches.map(({ name }) => name);
  const missing = held.find((cache) => !archived.includes(cache));
  if (missing !== undefined) throw unlike(`cache ${missing} is not in it`);
  const foreign = archived.find((cache) => !held.includes(cache));
  if (foreign !== undefined) throw unlike(`cache ${foreign} is in it, and was not held`);
  for (const [name, value] of counters) {
    const found = content.counters.find((counter) => counter.name === name);
    if (found?.value !== value)
      throw unlike(`counter ${name} is ${found?.value ?? 'not there'} in it, and was ${value} in the hold`);
  }
}

function unlike(what: string): StillpointError {
  return new StillpointError(
    {
      code: 'infinispan-archive',
      message: `the archive is not of what was held: ${what}`,
      hint: 'create the checkpoint again; where it comes again, keep the log of the server and report it',
    },
    EXIT.invalid,
  );
}
