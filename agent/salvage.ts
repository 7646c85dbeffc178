import { StillpointError } from '../shared/domain/errors.ts';
import type { SalvagedMember } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { AgentMember } from './agent-member.ts';
import type { ArtifactSource, LocalCopy } from './engines/engine.ts';

interface SalvagingHost {
  readonly file: { readonly grid: string };
  readonly members: ReadonlyMap<string, AgentMember>;
  readonly repository: () => Promise<Repository>;
}

/** What lies complete of a checkpoint on this host. Throws where its members do not have the same one. */
export async function readLocal(
  context: SalvagingHost,
  checkpoint: string,
): Promise<{ gridManifest: string; metadataDigest: string }> {
  const copies = await localCopies(context, checkpoint);
  const [gridManifest = '', other] = new Set(copies.map((copy) => copy.gridManifest));
  const [metadataDigest = '', otherMetadata] = new Set(
    copies.flatMap(({ metadata }) => metadata?.digest ?? []),
  );
  if (other === undefined && otherMetadata === undefined) return { gridManifest, metadataDigest };
  throw new StillpointError({
    code: 'local-copies-differ',
    message: `the copies of ${checkpoint} on this host are not of one checkpoint`,
    hint: 'compare their grid.json and metadata; salvage another checkpoint',
  });
}

/**
 * Stores what lies of a checkpoint on this host in the repository again, as it was, every byte held against the
 * digests that were made when it was captured. Nothing is committed.
 */
export async function salvage(
  context: SalvagingHost,
  { checkpoint, metadata }: { checkpoint: string; metadata: boolean },
): Promise<SalvagedMember[]> {
  const copies = await localCopies(context, checkpoint);
  const kept = metadata ? (copies.find((copy) => copy.metadata !== null)?.metadata?.sources ?? []) : [];
  const repository = await context.repository();
  const salvaged: SalvagedMember[] = [];
  for (const source of [...copies.map(({ own }) => own), ...kept])
    salvaged.push(await store(repository, context.file.grid, checkpoint, source));
  return salvaged;
}

async function localCopies({ members }: SalvagingHost, checkpoint: string): Promise<LocalCopy[]> {
  const kept = [...members.values()].flatMap(({ engine }) => engine.localCopies ?? []);
  const found = await Promise.all(kept.map((copies) => copies.read(checkpoint)));
  return found.filter((copy) => copy !== null);
}

async function store(
  repository: Repository,
  grid: string,
  checkpoint: string,
  source: ArtifactSource,
): Promise<SalvagedMember> {
  const { artifacts, ...manifest } = source.manifest;
  if (manifest.grid !== grid || manifest.checkpoint !== checkpoint)
    throw damaged(manifest.member.name, 'member.json', `it is of ${manifest.grid} ${manifest.checkpoint}`);
  const writer = repository.beginMember(grid, checkpoint);
  for (const artifact of artifacts) {
    if (artifact.kind === 'directory') writer.directory(artifact);
    else if (artifact.kind === 'symlink') writer.symlink(artifact);
    else {
      const { path, mode, mtimeMs } = artifact;
      const { digest } = await writer.file({ path, mode, mtimeMs }, source.read(path));
      if (digest !== artifact.digest) throw damaged(manifest.member.name, path, 'its bytes have changed');
    }
  }
  return { name: manifest.member.name, ...(await writer.finish(manifest)) };
}

function damaged(member: string, path: string, why: string): StillpointError {
  return new StillpointError({
    code: 'local-copy-damaged',
    message: `${path} of ${member} in the copy on its host is not what was captured: ${why}`,
    hint: 'salvage another checkpoint, or take this file from another copy of the host',
    member,
  });
}
