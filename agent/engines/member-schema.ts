import { z } from 'zod';
import { NAME, NAME_RULE } from '../../shared/domain/name.ts';

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

export function hostPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** The keys that every member has, whatever its engine. */
export const memberShape = {
  name: z.string().regex(NAME, NAME_RULE),
  role: z.enum(['realm-service', 'state-keeper', 'node', 'proxy']),
  copyset: z.string().min(1).optional(),
  address: addressSchema,
  /** The user whose files the member's are; else the owner of its data directory. */
  owner: z.string().min(1).optional(),
} as const;

const word = z.string({
  error: ({ input }) =>
    typeof input === 'number' || typeof input === 'boolean'
      ? `must be text: write "${String(input)}" with the quotes, as in [pg_ctlcluster, "15", main, start]`
      : 'must be text',
});
const command = z
  .array(word, 'must be a list: the program, then its arguments')
  .min(1, 'must be a list: the program, then its arguments');

/** How the operator's own commands start and stop a member: argument lists, never a shell's string. */
export const runShape = z.strictObject({
  start: command.optional(),
  stop: command.optional(),
  /** As whom these commands run; else as the agent does. */
  user: z.string().min(1).optional(),
});
