import { isIP } from 'node:net';
import { beforePort } from '../../../address.ts';

/** Where a server is said to be. */
export interface Place {
  /** Empty, or a directory of sockets: on the very host of the server that says it. */
  readonly host: string;
  /** Null where nothing says it, and nobody knows what is meant then. */
  readonly port: number | null;
}

export type Parameters = ReadonlyMap<string, string>;

/** What libpq takes where nothing is said. */
export const LIBPQ_PORT = 5432;

/**
 * Where parameters of a connection lead, as libpq reads them: `host` and `port` may be lists, and `hostaddr` goes before
 * `host` (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS).
 */
export function placesOf(parameters: Parameters): Place[] {
  const { hosts, addresses, ports } = listsOf(parameters);
  return ports.map((port, index) => ({ host: addresses[index] || hosts[index] || '', port }));
}

/** The same parameters, leading to other places, as many as before. Null: to be taken away. Only what changes. */
export function parametersFor(
  parameters: Parameters,
  places: readonly Place[],
): ReadonlyMap<string, string | null> {
  const { hosts, addresses, ports } = listsOf(parameters);
  const was = placesOf(parameters);
  const isMoved = (index: number): boolean => places[index]?.host !== was[index]?.host;
  const newHosts = hosts.map((host, index) => (isMoved(index) ? (places[index]?.host ?? '') : host));
  const newAddresses = addresses.map((address, index) => {
    if (!isMoved(index) || address === '') return address;
    const host = places[index]?.host ?? '';
    return isIP(host) === 0 ? '' : host;
  });
  const newPorts = ports.map((port, index) => places[index]?.port ?? port);
  const changes = new Map<string, string | null>();
  const set = (name: string, value: string | null): void => {
    if ((parameters.get(name) ?? null) !== value) changes.set(name, value);
  };
  if (places.some((_, index) => isMoved(index))) {
    set('host', newHosts.every((host) => host === '') ? null : newHosts.join(','));
    set('hostaddr', newAddresses.every((address) => address === '') ? null : newAddresses.join(','));
  }
  if (newPorts.some((port, index) => port !== ports[index]))
    set('port', new Set(newPorts).size === 1 ? String(newPorts[0]) : newPorts.join(','));
  return changes;
}

/** One entry of each for every server that is tried. */
function listsOf(parameters: Parameters): { hosts: string[]; addresses: string[]; ports: number[] } {
  const listed = (name: string): string[] => (parameters.get(name) ?? '').split(',').map((one) => one.trim());
  const [hosts, addresses, ports] = [listed('host'), listed('hostaddr'), listed('port')];
  const count = Math.max(hosts.length, addresses.length);
  const all = Array.from({ length: count }, (_, index) => index);
  const portAt = (index: number): number => {
    const text = ports.length === 1 ? ports[0] : ports[index];
    return text === undefined || text === '' ? LIBPQ_PORT : Number(text);
  };
  return {
    hosts: all.map((index) => hosts[index] ?? ''),
    addresses: all.map((index) => addresses[index] ?? ''),
    ports: all.map(portAt),
  };
}

/** For people. */
export function placesInWords(places: readonly Place[]): string {
  return places.map(placeInWords).join(', ');
}

export function placeInWords({ host, port }: Place): string {
  if (host === '')
    return port === null || port === LIBPQ_PORT ? 'the local server' : `the local server:${port}`;
  const shown = beforePort(host);
  return port === null ? shown : `${shown}:${port}`;
}
