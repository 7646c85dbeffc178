import { z } from 'zod';
import { assertNever } from '../../shared/domain/assert-never.ts';
import type { Engine, Guardian } from './engine.ts';
import { nativeMemberSchema } from './native/settings.ts';
import { postgresMemberSchema } from './postgres/settings.ts';

/** A member in the agent's file: the keys that each engine reads. */
export const memberSchema = z.discriminatedUnion('engine', [postgresMemberSchema, nativeMemberSchema]);
export type MemberSettings = z.infer<typeof memberSchema>;

/** The engine of a member, as its part of the agent's file says. An engine that no member has is not loaded. */
export async function createEngine(settings: MemberSettings): Promise<Engine> {
  switch (settings.engine) {
    case 'native':
      return (await import('./native/native-engine.ts')).createNativeEngine(settings);
    case 'postgres':
      return (await import('./postgres/postgres-engine.ts')).createPostgresEngine(settings);
    default:
      return assertNever(settings);
  }
}

/**
 * For the guard process: opens and holds what an undo will need, so that nothing has to be set up in the bad moment.
 * Loads no more than that: a guard starts with every operation. Undos of one operation arrive one after another and
 * replace each other.
 */
export async function standGuard(settings: MemberSettings): Promise<Guardian> {
  switch (settings.engine) {
    case 'native':
      return new (await import('./native/native-undo.ts')).NativeGuardian(settings).open();
    case 'postgres':
      return new (await import('./postgres/hold/guardian.ts')).PostgresGuardian(settings).open();
    default:
      return assertNever(settings);
  }
}
