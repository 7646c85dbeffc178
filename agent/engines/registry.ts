import { z } from 'zod';
import { assertNever } from '../../shared/domain/assert-never.ts';
import type { Engine } from './engine.ts';
import { createNativeEngine } from './native/native-engine.ts';
import { nativeMemberSchema } from './native/settings.ts';
import { createPostgresEngine } from './postgres/postgres-engine.ts';
import { postgresMemberSchema } from './postgres/settings.ts';

/** A member in the agent's file: the keys that each engine reads. */
export const memberSchema = z.discriminatedUnion('engine', [postgresMemberSchema, nativeMemberSchema]);
export type MemberSettings = z.infer<typeof memberSchema>;

/** The engine of a member, as its part of the agent's file says. */
export function createEngine(settings: MemberSettings): Engine {
  switch (settings.engine) {
    case 'native':
      return createNativeEngine(settings);
    case 'postgres':
      return createPostgresEngine(settings);
    default:
      return assertNever(settings);
  }
}
