import { EXIT, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import type { DescribedHost } from '../with-grid.ts';

/** The member whose state an archive becomes, and its place. */
export interface ImportTarget extends Pick<DescribedHost, 'connection' | 'host'> {
  readonly description: MemberDescription;
  /** Of the artifact that the archive becomes. */
  readonly path: string;
}

/**
 * Whose archive it is: of the member that is named, by its name or its address; else of the only group of members whose
 * engine has archives of its own, through the one that leads it. Rejects where nobody fits, or several do.
 */
export function importTarget(described: readonly DescribedHost[], named: string | null): ImportTarget {
  const all = described.flatMap(({ connection, host }) =>
    host.members.map((description) => ({ connection, host, description })),
  );
  const fitting = all.flatMap((one): ImportTarget[] => {
    const path = one.description.traits.archive;
    return path === null ? [] : [{ ...one, path }];
  });
  if (named !== null) {
    const isNamed = ({ description: { name, address } }: (typeof all)[number]): boolean =>
      named === name || named === address;
    const found = fitting.find(isNamed);
    if (found !== undefined) return found;
    if (all.some(isNamed)) throw unsupported(`${named} has no archives of its own that could be imported`);
    throw new StillpointError({
      code: 'unknown-member',
      message: `no agent of the grid has a member ${named}`,
      hint: 'stillpoint grid status shows every member, with its address',
    });
  }
  const groups = new Map<string, ImportTarget[]>();
  for (const target of fitting) {
    const { engine, copyset, traits } = target.description;
    const group = `${engine} ${copyset ?? traits.domain}`;
    groups.set(group, [...(groups.get(group) ?? []), target]);
  }
  const [members, ...others] = groups.values();
  const [first] = members ?? [];
  if (members === undefined || first === undefined)
    throw unsupported('no member of the grid has archives of its own that could be imported');
  if (others.length > 0) throw ambiguous([...groups.values()]);
  return members.find(({ description }) => description.running && description.primary) ?? first;
}

function unsupported(message: string): StillpointError {
  return refuse({
    code: 'archive-unsupported',
    message,
    hint: 'docs/engines tells of which engines archives are imported; stillpoint grid status shows the engine of each member',
  });
}

function ambiguous(groups: readonly (readonly ImportTarget[])[]): StillpointError {
  const members = groups.flatMap(([first]) => (first === undefined ? [] : [first.description]));
  const listed = members.map(({ copyset, address }) => `${copyset ?? ''} (--member ${address})`);
  return new StillpointError({
    code: 'import-ambiguous',
    message: `the archive could be of ${listed.length} groups of members`,
    hint: `say of which: ${listed.join(', ')}`,
    phase: 'preflight',
  });
}

function refuse(failure: Failure): StillpointError {
  return new StillpointError({ ...failure, phase: 'preflight' }, EXIT.refused);
}
