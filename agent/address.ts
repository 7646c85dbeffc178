import { isIP } from 'node:net';
import * as z from 'zod';

const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):\d{1,5}$/;

/** `host:port`; an IPv6 address stands in brackets. */
export const addressSchema = z
  .string()
  .regex(ADDRESS, 'must be host:port')
  .refine((text) => hostPort(text).port <= 65535, 'port must be at most 65535');

/** Of the wire: what stands before the port may be a name or an address, and nothing else. */
export function isAddress(text: string): boolean {
  return ADDRESS.test(text) && /^[A-Za-z0-9.:[\]_-]{1,260}$/.test(text) && hostPort(text).port <= 65535;
}

/** A host as it stands before a port, also in a URL. */
export function beforePort(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

export function hostPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}
