import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { ImageReference } from '../shared/domain/wire.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { AgentMember } from './agent-member.ts';
import type { ArtifactSource, Images } from './engines/engine.ts';

/** An operator's image as the source of a restore, brought to the mark of `source`. */
export async function openImage(
  repository: Repository,
  member: AgentMember,
  place: {
    readonly grid: string;
    readonly checkpoint: string;
    readonly source: { readonly member: string; readonly digest: string };
  },
  { set, digest, approach }: ImageReference,
  signal: AbortSignal,
): Promise<ArtifactSource> {
  const images = imagesOf(member);
  const { grid, checkpoint, source } = place;
  const mark = await repository.readMember(grid, checkpoint, source.member, source.digest);
  return images.open(await repository.readImage(grid, set, digest), mark, approach, signal);
}

export function imagesOf({ name, engine }: AgentMember): Images {
  if (engine.images !== null) return engine.images;
  throw new StillpointError(
    {
      code: 'images-unnamed',
      message: `the agent does not know where images of ${name} lie`,
      hint: `name their directory in the agent file: images: DIR of ${name}; then systemctl restart stillpoint-agent`,
      member: name,
    },
    EXIT.refused,
  );
}
