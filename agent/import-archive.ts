import { createReadStream, createWriteStream } from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HELD_BY_NOBODY } from '../shared/domain/assignment.ts';
import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { MemberDescription } from '../shared/domain/grid.ts';
import type { Artifact } from '../shared/domain/manifest.ts';
import type { MemberProgress } from '../shared/domain/messages.ts';
import type { AgentRequest, ImportedMember } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { counted } from '../shared/runtime/counted.ts';
import { memberOf, type AgentMember } from './agent-member.ts';
import { memberStore } from './collect.ts';
import { agentDiskError } from './disk-error.ts';
import type { ReadArchive } from './engines/engine.ts';
import type { StateDirectory } from './state-directory.ts';
import type { Surroundings } from './surroundings.ts';

interface ImportingHost {
  readonly file: { readonly grid: string };
  readonly host: string;
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly repository: () => Promise<Repository>;
  readonly state: Pick<StateDirectory, 'makeSpool' | 'dropSpool'>;
  readonly surroundings: Pick<Surroundings, 'reach'>;
  /** As the coordinator was told of the members. */
  readonly descriptions: { get(member: string): MemberDescription | undefined };
  readonly progress: (progress: MemberProgress) => void;
}

type Asked = Extract<AgentRequest, { type: 'importArchive' }>;
type File = Extract<Artifact, { kind: 'file' }>;

/** Of its directory in the spool. */
const IMPORT = 'import';

/** What one claim of the host imports: one archive at a time, and nothing of it is left on the host when it has ended. */
export class ArchiveImports {
  readonly #host: ImportingHost;
  readonly #ended = new AbortController();
  #current: Promise<ImportedMember> | null = null;

  constructor(host: ImportingHost) {
    this.#host = host;
  }

  /**
   * Stores an archive that somebody brought as the state of a member. It lies in the repository already; it is taken from
   * there into a private file, so that what the engine reads is what was stored, byte for byte. Commits nothing. Rejects
   * with why it cannot be restored, in the phase `verify`.
   */
  async perform(asked: Asked): Promise<ImportedMember> {
    if (this.#current !== null) throw busy();
    this.#current = importArchive(this.#host, asked, this.#ended.signal);
    try {
      return await this.#current;
    } finally {
      this.#current = null;
    }
  }

  /** What is under way rejects. Idempotent. Resolves when nothing is. */
  async end(): Promise<void> {
    this.#ended.abort(ended());
    await this.#current?.catch(() => undefined);
  }
}

async function importArchive(
  host: ImportingHost,
  { member: name, checkpoint, given, digest }: Asked,
  signal: AbortSignal,
): Promise<ImportedMember> {
  const { state, surroundings, descriptions } = host;
  const { archives } = memberOf(host.members, name).engine;
  const description = descriptions.get(name);
  const path = description?.traits.archive ?? null;
  if (archives === null || description === undefined || path === null) throw unfit(name);
  const repository = await host.repository();
  const source = await repository.readMember(host.file.grid, given, name, digest);
  const [archive, ...others] = source.artifacts;
  if (archive?.kind !== 'file' || archive.path !== path || others.length > 0) throw unfit(name);
  const { sizeBytes, digest: sha256 } = archive;
  const progress = (phase: string, bytesDone: number, bytesTotal: number): void =>
    host.progress({ member: name, phase, bytesDone, bytesTotal, waitsFor: '' });
  const spool = await state.makeSpool(IMPORT, name);
  try {
    const file = join(spool, basename(path));
    const fetched = counted(repository.readFile(source, path), (done) => progress('fetch', done, sizeBytes));
    await pipeline(fetched, createWriteStream(file, { mode: 0o600 }), { signal }).catch((error: unknown) => {
      throw agentDiskError(error, `${name}: an archive is fetched to be read`);
    });
    const read = await archives
      // How much it unpacks to nobody knows before.
      .read({ file, sizeBytes, sha256 }, signal, (done) => progress('read', done, done + 1))
      .catch((error: unknown) => {
        throw notRestorable(name, error);
      });
    await surroundings.reach('archiveRead', name);
    signal.throwIfAborted();
    const bytes = createReadStream(file, { signal });
    const stored = await store(host, { repository, checkpoint, description, archive, bytes, read });
    const { writtenAt, leftOut, content } = read;
    return { ...stored, writtenAt, leftOut, content };
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await state.dropSpool(IMPORT, name);
  }
}

async function store(
  { file: { grid }, host }: ImportingHost,
  what: {
    readonly repository: Repository;
    readonly checkpoint: string;
    readonly description: MemberDescription;
    readonly archive: File;
    readonly bytes: AsyncIterable<Uint8Array>;
    readonly read: ReadArchive;
  },
): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }> {
  const { repository, checkpoint, description, archive, read } = what;
  const id = parseCheckpointId(checkpoint);
  if (id === null) throw new Error(`${checkpoint} is no checkpoint`);
  const target = memberStore({
    repository: () => Promise.resolve(repository),
    grid,
    host,
    checkpoint,
    // What runs there now is not what is stored.
    description: { ...description, version: read.version, dataIdentity: '' },
  });
  const { path, mode, mtimeMs } = archive;
  const { digest } = await target.file({ path, mode, mtimeMs }, what.bytes);
  if (digest !== archive.digest) throw new Error(`${path} was changed while it was read`);
  return target.finish({
    token: { epoch: id.epoch, counter: id.counter, attempt: 1 },
    assignment: HELD_BY_NOBODY,
    mark: null,
    engineFacts: read.engineFacts,
    warnings: read.warnings,
  });
}

/** The phase says that it is the archive, and nothing of this host. */
function notRestorable(member: string, error: unknown): StillpointError {
  const failure = failureOf(error, {
    code: 'archive-unread',
    hint: 'take another archive, or have its server write it again',
  });
  return new StillpointError({ ...failure, member, phase: 'verify' }, EXIT.invalid, { cause: error });
}

function unfit(member: string): StillpointError {
  return new StillpointError(
    {
      code: 'archive-unsupported',
      message: `${member} has no archives of its own that could be brought`,
      hint: 'name a member whose engine has: docs/engines',
      member,
    },
    EXIT.refused,
  );
}

function busy(): StillpointError {
  return new StillpointError(
    {
      code: 'too-many-requests',
      message: 'another archive is being imported on this host',
      hint: 'wait until that is done, then import again',
    },
    EXIT.refused,
  );
}

function ended(): StillpointError {
  return new StillpointError({
    code: 'import-given-up',
    message: 'the import was given up: who asked for it is gone',
    hint: 'import the archive again',
  });
}
