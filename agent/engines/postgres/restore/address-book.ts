import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { AddressMoves } from '../../../../shared/domain/wire.ts';
import { hostPort } from '../../../address.ts';
import { placeInWords, type Place } from '../look/places.ts';
import { settledInTime } from '../server/wait-until.ts';

const RESOLVE_MS = 2000;
const LOCAL = new Set(['', 'localhost', '127.0.0.1', '::1']);

/** What becomes of the places that something in the data leads to. */
export type Fate =
  | { readonly type: 'moves'; readonly places: readonly Place[] }
  /** It leads into the grid that is restored, as it is. */
  | { readonly type: 'stays' }
  /** To no host of the old grid, as far as anybody knows. */
  | { readonly type: 'outside' }
  /** To the old grid, and nobody can say where to instead. */
  | { readonly type: 'unclear'; readonly why: string };

type Found = { readonly to: Place } | { readonly unclear: string } | null;

/**
 * Where addresses of the old grid are from now on. A member's address goes where the member goes; another port of a host
 * goes to the host's new one. Hosts are known by their names and by what these names resolve to here.
 */
export class AddressBook {
  readonly #members: readonly { readonly from: Place; readonly to: Place }[];
  readonly #hosts = new Map<string, Set<string>>();
  readonly #own: { readonly wasHost: string; readonly host: string };
  readonly #resolve: (host: string) => Promise<readonly string[]>;
  readonly #resolved = new Map<string, Promise<readonly string[]>>();

  /** `own`: the host of the member whose data it is, as it was and as it is. */
  constructor(
    moves: AddressMoves,
    own: { readonly wasHost: string; readonly host: string },
    resolve: (host: string) => Promise<readonly string[]> = resolveHost,
  ) {
    this.#own = own;
    this.#resolve = resolve;
    this.#members = moves.members.map(({ from, to }) => ({ from: hostPort(from), to: hostPort(to) }));
    for (const { from, to } of moves.hosts) this.#hosts.set(plain(from), new Set([to]));
    const named = new Set(this.#hosts.keys());
    for (const { from, to } of this.#members) {
      const host = plain(from.host);
      if (named.has(host)) continue;
      this.#hosts.set(host, (this.#hosts.get(host) ?? new Set()).add(to.host));
    }
  }

  async fateOf(places: readonly Place[]): Promise<Fate> {
    const found = await Promise.all(places.map((place) => this.#find(place)));
    const unclear = found.flatMap((one) => (one !== null && 'unclear' in one ? [one.unclear] : []));
    if (unclear.length > 0) return { type: 'unclear', why: unclear.join('; ') };
    const to = places.map((place, index) => {
      const one = found[index];
      return one === null || one === undefined || !('to' in one) ? place : one.to;
    });
    const isMoved = to.some(
      ({ host, port }, index) => host !== places[index]?.host || port !== places[index]?.port,
    );
    if (isMoved) return { type: 'moves', places: to };
    return { type: found.some((one) => one !== null) ? 'stays' : 'outside' };
  }

  async #find(place: Place): Promise<Found> {
    const { host, port } = place;
    const listed = this.#match(host, port);
    if (listed !== null) return listed;
    if (LOCAL.has(host) || /^[/@]/.test(host)) {
      const found = this.#match(this.#own.wasHost, port);
      if (found === null || !('to' in found) || plain(found.to.host) !== plain(this.#own.host)) return found;
      return { to: { host, port: found.to.port } };
    }
    const addresses = await this.#addressesOf(host);
    const found = new Map<string, Found>();
    for (const old of this.#hosts.keys()) {
      const theirs = await this.#addressesOf(old);
      if (!theirs.some((address) => addresses.includes(address))) continue;
      const match = this.#match(old, port);
      if (match !== null) found.set(JSON.stringify(match), match);
    }
    if (found.size > 1)
      return { unclear: `${placeInWords(place)} may be one of several members of the checkpoint` };
    return [...found.values()][0] ?? null;
  }

  /** By its very name. Null where it is none of the old grid, or a port of which nothing is known on a host that stays. */
  #match(host: string, port: number | null): Found {
    const name = plain(host);
    const members = this.#members.filter(({ from }) => plain(from.host) === name);
    const exact = members.find(({ from }) => from.port === port);
    if (exact !== undefined) return { to: exact.to };
    const targets = this.#hosts.get(name);
    if (targets === undefined) return null;
    const [only] = targets;
    if (only === undefined || targets.size > 1)
      return {
        unclear: `${placeInWords({ host, port })} is the address of no member, and its host goes to ${[...targets].join(' and ')}`,
      };
    return plain(only) === name ? null : { to: { host: only, port } };
  }

  #addressesOf(host: string): Promise<readonly string[]> {
    const name = plain(host);
    if (isIP(name) !== 0) return Promise.resolve([name]);
    const known = this.#resolved.get(name) ?? this.#resolve(name);
    this.#resolved.set(name, known);
    return known;
  }
}

function plain(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
}

/** None where nobody knows it, or says so in time. */
async function resolveHost(host: string): Promise<readonly string[]> {
  return settledInTime('a name to be resolved', lookup(host, { all: true }), RESOLVE_MS).then(
    (all) => all.map(({ address }) => address),
    () => [],
  );
}
