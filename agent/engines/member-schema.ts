import * as z from 'zod';
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
  /** Whether a drill may use its place; else what the agent's file says for all. */
  drill: z.boolean().optional(),
} as const;

const command = z
  .array(z.string(), 'must be a list: the program, then its arguments')
  .min(1, 'must be a list: the program, then its arguments');

/** How the operator's own commands start and stop a member: argument lists, never a shell's string. */
const runShape = z.strictObject({
  start: command.optional(),
  stop: command.optional(),
  /** As whom these commands run; else as the agent does. */
  user: z.string().min(1).optional(),
});

/** How a member is started and stopped. At most one of the two: see `oneSupervisor`. */
export const supervisionShape = {
  run: runShape.optional(),
  /** The systemd unit that runs the member: `postgresql@15-main`. */
  unit: z
    .string()
    .regex(/^[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]{0,254}$/, 'must be the name of a systemd unit')
    .transform((name) => (name.endsWith('.service') ? name : `${name}.service`))
    .optional(),
} as const;

/** For `refine`. */
export const oneSupervisor: [
  (member: { run?: unknown; unit?: unknown }) => boolean,
  { path: string[]; message: string },
] = [
  ({ run, unit }) => run === undefined || unit === undefined,
  {
    path: ['unit'],
    message: 'is for a member that systemd runs, and run for one that commands run: write one of them',
  },
];
