import type { DefinedProcess } from '../shared/domain/grid.ts';
import type { PlannedMember } from './planned-member.ts';

/** What the restored realm is told of where its processes are from now on. */
export interface Relocation {
  /** The primary realm service that is told; one of them where they are a cluster. */
  readonly tell: PlannedMember;
  readonly processes: readonly DefinedProcess[];
  /** Those whose address changes. `from` is null for what was absent from the checkpoint. */
  readonly moved: readonly { readonly name: string; readonly from: string | null; readonly to: string }[];
}

/** Null for a grid without a realm. The realm changes nothing where nothing changed. */
export function relocationOf(members: readonly PlannedMember[]): Relocation | null {
  const defined = members.filter(({ traits }) => traits.inRealm);
  const tell = defined.find(
    ({ role, source, to }) => role === 'realm-service' && source.primary && source.name === to.member,
  );
  if (tell === undefined) return null;
  return {
    tell,
    processes: defined.map(({ name, to }) => ({
      name,
      address: to.address,
      dataDirectory: to.dataDirectory,
      running: false,
    })),
    moved: defined
      .map(({ name, wasAt, to }) => ({ name, from: wasAt, to: to.address }))
      .filter(({ from, to }) => from !== to),
  };
}
