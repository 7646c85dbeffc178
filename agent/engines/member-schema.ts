import { z } from 'zod';
import { NAME, NAME_RULE } from '../../shared/domain/name.ts';
import { addressSchema } from '../address.ts';

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
