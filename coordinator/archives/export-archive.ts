import { lstat, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { EXIT, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { Artifact, GridManifest, GridManifestMember } from '../../shared/domain/manifest.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { counted } from '../../shared/runtime/counted.ts';
import { syncDirectory } from '../../shared/runtime/whole-file.ts';
import { checkCopied } from '../checkpoint-selector.ts';
import type { ProgressView } from '../progress.ts';
import type { ExportReport } from '../reports.ts';

export interface ExportInput {
  readonly repository: Repository;
  readonly manifest: GridManifest;
  /** The member whose archive is meant, by name or address; null: the only one that has one. */
  readonly member: string | null;
  readonly file: string;
  readonly progress: ProgressView;
  readonly signal: AbortSignal;
}

type File = Extract<Artifact, { kind: 'file' }>;

/**
 * Writes the archive of a member out of a checkpoint, as its software wrote it, into a new file of this host, for its
 * owner alone. Every byte is held against the checkpoint on the way. Durable on return; where it rejects, nothing has the
 * name. Needs nothing but the repository.
 */
export async function exportArchive(input: ExportInput): Promise<ExportReport> {
  const { repository, manifest, progress, signal } = input;
  const startedAt = performance.now();
  const file = resolve(input.file);
  checkCopied(manifest);
  const { name, manifestDigest, traits } = memberToExport(manifest, input.member);
  await mustBeNew(file);
  const { grid, checkpoint } = manifest;
  const member = await repository.readMember(grid, checkpoint, name, manifestDigest);
  const archive = member.artifacts.find(
    (one): one is File => one.kind === 'file' && one.path === traits.archive,
  );
  if (archive === undefined) throw nothingToExport(`${checkpoint} has no archive of ${name}`);
  progress.phase(null, 'export', `${name} of ${checkpoint}`);
  const content = counted(repository.readFile(member, archive.path), (done) => {
    signal.throwIfAborted();
    progress.bytes(name, done, archive.sizeBytes);
  });
  await writeNew(file, content);
  return {
    checkpoint,
    grid,
    member: name,
    file,
    sizeBytes: archive.sizeBytes,
    sha256: archive.digest,
    durationMs: Math.round(performance.now() - startedAt),
  };
}

function memberToExport({ checkpoint, members }: GridManifest, named: string | null): GridManifestMember {
  const having = members.filter(
    ({ traits, assignment }) => traits.archive !== null && assignment.part === 'whole',
  );
  if (named === null) {
    const [only, ...others] = having;
    if (only !== undefined && others.length === 0) return only;
    if (only === undefined) throw nothingToExport(`${checkpoint} has no archive of any member`);
    const listed = having
      .map(({ name, copyset }) => `--member ${name} (${copyset ?? 'no copyset'})`)
      .join(', ');
    throw new StillpointError({
      code: 'export-ambiguous',
      message: `${checkpoint} has the archives of ${having.length} members`,
      hint: `say which: ${listed}`,
    });
  }
  const isNamed = ({ name, address }: GridManifestMember): boolean => named === name || named === address;
  const found = having.find(isNamed);
  if (found !== undefined) return found;
  const other = members.find(isNamed);
  if (other !== undefined) {
    // Of members that share their state one was copied for all.
    const copied = having.find(({ traits }) => traits.domain === other.traits.domain);
    if (copied !== undefined) return copied;
    throw nothingToExport(`${checkpoint} has no archive of ${named}: its engine has none`);
  }
  throw new StillpointError({
    code: 'unknown-member',
    message: `${checkpoint} has no member ${named}`,
    hint: `stillpoint checkpoint describe ${checkpoint} shows its members`,
  });
}

async function mustBeNew(file: string): Promise<void> {
  const found = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw notWritten(file, error);
  });
  if (found !== null) throw taken(file);
}

/** Under a name of its own until all of it is on disk; then it takes the name that nothing has. */
async function writeNew(file: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const part = join(dirname(file), `.${basename(file)}.${crypto.randomUUID()}`);
  try {
    const handle = await open(part, 'wx', 0o600).catch((error: unknown) => {
      throw notWritten(file, error);
    });
    try {
      for await (const bytes of content)
        await handle.writeFile(bytes).catch((error: unknown) => {
          throw notWritten(file, error);
        });
      await handle.sync();
    } finally {
      await handle.close();
    }
    await claim(file);
    await rename(part, file).catch(async (error: unknown) => {
      await rm(file, { force: true });
      throw error;
    });
    await syncDirectory(dirname(file));
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined);
    throw error instanceof StillpointError ? error : notWritten(file, error);
  }
}

/** So that the rename writes over nothing but this: not every file system has links, which would refuse that by themselves. */
async function claim(file: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? taken(file) : notWritten(file, error);
  });
  await handle.close();
}

function taken(file: string): StillpointError {
  return new StillpointError({
    code: 'export-exists',
    message: `${file} is there already; it stays as it is`,
    hint: 'name another file, or move this one away',
  });
}

function notWritten(file: string, error: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'export-unwritable',
      message: `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'name a file in a directory that is there, that you may write to, and that has room',
    },
    EXIT.usage,
    { cause: error },
  );
}

function nothingToExport(message: string): StillpointError {
  const failure: Failure = {
    code: 'archive-unsupported',
    message,
    hint: 'docs/engines tells of which engines archives are exported; stillpoint restore brings the members of all others back',
  };
  return new StillpointError(failure, EXIT.refused);
}
