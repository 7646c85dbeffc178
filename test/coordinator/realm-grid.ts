import type {
  DefinedProcess,
  GridDefinition,
  HostDescription,
  MemberDescription,
  Realm,
} from '../../shared/domain/grid.ts';
import { describedHost, describedMember } from './descriptions.ts';

/** A grid with a realm, as its agents would describe it; tests change what they are about. */
export const NAMES = ['r1', 'r2', 'k1', 'k2', 'k3', 'a1', 'a2', 'b1', 'b2', 'p1'] as const;
type Name = (typeof NAMES)[number];

export function defined(name: string): DefinedProcess {
  return { name, address: addressOf(name), dataDirectory: `/srv/${name}`, running: true };
}

const definition: GridDefinition = {
  grid: 'orders',
  version: 4,
  // Not in the order of their names.
  copysets: [
    { name: 'b', nodes: [defined('b1'), defined('b2')] },
    { name: 'a', nodes: [defined('a1'), defined('a2')] },
  ],
  keepers: [defined('k3'), defined('k1'), defined('k2')],
  proxies: [defined('p1')],
  realmServices: [defined('r1'), defined('r2')],
  foreign: [],
};

export function realm(changes: Partial<Realm> = {}): Realm {
  return { ...definition, highestEpoch: 0, highestCounter: 0, ...changes };
}

function addressOf(name: string): string {
  return `host-${name}:7000`;
}

function nativeMember(name: string): MemberDescription {
  const kind = name.charAt(0);
  const common = { engine: 'native', address: addressOf(name), dataDirectory: `/srv/${name}` } as const;
  const first = name.endsWith('1');
  if (kind === 'r')
    return describedMember(name, {
      ...common,
      role: 'realm-service',
      copyset: null,
      primary: first,
      freezeKind: first ? 'fenced' : 'observer',
      realm: realm(),
    });
  if (kind === 'k')
    return describedMember(name, {
      ...common,
      role: 'state-keeper',
      copyset: null,
      primary: first,
      dataIdentity: 'keepers',
      quorum: { running: 3, configured: 3 },
    });
  if (kind === 'p')
    return describedMember(name, {
      ...common,
      role: 'proxy',
      copyset: null,
      primary: false,
      freezeKind: 'observer',
      sizeBytes: 0,
    });
  return describedMember(name, { ...common, primary: first });
}

export const DOWN: Partial<MemberDescription> = {
  running: false,
  primary: false,
  realm: null,
  quorum: null,
};

/** Every process on a host of its own; null takes a member away. */
export function realmGrid(
  changes: Partial<Record<Name, Partial<MemberDescription> | null>> = {},
  more: readonly MemberDescription[] = [],
): HostDescription[] {
  const members = NAMES.flatMap((name) => {
    const change = changes[name];
    return change === null ? [] : [{ ...nativeMember(name), ...change }];
  });
  return [...members, ...more].map((member) => describedHost(`host-${member.name}`, [member]));
}

/** These members, each changed the same way. */
export function each(
  names: readonly Name[],
  change: Partial<MemberDescription>,
): Partial<Record<Name, Partial<MemberDescription>>> {
  return Object.fromEntries(names.map((name) => [name, change]));
}
