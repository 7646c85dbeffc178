import { z } from 'zod';
import { assertNever } from '../../shared/domain/assert-never.ts';
import type { Discovery, HostToLookAt, Preparation } from './discovery.ts';
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
      return new (await import('./postgres/guardian.ts')).PostgresGuardian(settings).open();
    default:
      return assertNever(settings);
  }
}

/** What each engine has seen of its members on a host, for an agent's file that is still to be written. */
export async function discoverMembers(host: HostToLookAt): Promise<Discovery> {
  const found = [
    await (await import('./postgres/init/discover.ts')).discoverPostgres(host),
    await (await import('./native/discover.ts')).discoverNative(host),
  ];
  return {
    members: found.flatMap(({ members }) => members),
    notes: found.flatMap(({ notes }) => notes),
  };
}

/** What a member must be given before its first checkpoint; null where its engine asks for nothing. */
export async function preparationOf(settings: MemberSettings): Promise<Preparation | null> {
  switch (settings.engine) {
    case 'native':
      return null;
    case 'postgres':
      return (await import('./postgres/init/prepare.ts')).preparePostgres(settings);
    default:
      return assertNever(settings);
  }
}
