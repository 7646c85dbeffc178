import type { Assignment } from '../shared/domain/assignment.ts';
import type { Mark, MemberDescription } from '../shared/domain/grid.ts';
import type { Token } from '../shared/domain/token.ts';
import type { Warning } from '../shared/domain/warning.ts';
import type { MemberWriter, Repository } from '../shared/repository/repository.ts';
import type { ArtifactSink } from './engines/engine.ts';

/** Where one member's artifacts go during one checkpoint, and the manifest that ends it. */
export interface MemberStore extends ArtifactSink {
  finish(
    collected: CollectedMember,
  ): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }>;
}

/** What the member manifest says of one checkpoint. */
export interface CollectedMember {
  readonly token: Token;
  readonly assignment: Assignment;
  readonly mark: Mark | null;
  readonly engineFacts: unknown;
  readonly warnings: readonly Warning[];
}

/** `description`: what the manifest says of the member. */
export function memberStore(input: {
  repository: () => Promise<Repository>;
  grid: string;
  host: string;
  checkpoint: string;
  description: MemberDescription;
}): MemberStore {
  let opened: Promise<MemberWriter> | null = null;
  const entries: ((writer: MemberWriter) => void)[] = [];
  const writer = (): Promise<MemberWriter> => {
    opened ??= input.repository().then((repository) => repository.beginMember(input.grid, input.checkpoint));
    return opened;
  };

  return {
    file: async (entry, content) => (await writer()).file(entry, content),
    directory: (entry) => void entries.push((to) => to.directory(entry)),
    symlink: (entry) => void entries.push((to) => to.symlink(entry)),
    async finish({ token, assignment, mark, engineFacts, warnings }) {
      const to = await writer();
      for (const add of entries) add(to);
      const { description } = input;
      return to.finish({
        format: 1,
        grid: input.grid,
        checkpoint: input.checkpoint,
        token,
        member: {
          name: description.name,
          host: input.host,
          role: description.role,
          copyset: description.copyset,
          engine: description.engine,
          address: description.address,
          // The order is the schema's: what was read and is written again has the same digest.
          traits: description.traits,
          assignment,
          version: description.version,
          dataIdentity: description.dataIdentity,
          primary: description.primary,
          freezeKind: description.freezeKind,
        },
        mark,
        engineFacts,
        ...(warnings.length > 0 && { warnings }),
      });
    },
  };
}
