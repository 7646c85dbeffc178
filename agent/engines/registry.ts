import * as z from 'zod';
import type { Discovery, HostToLookAt } from './discovery.ts';
import type { EngineKind } from './engine-kind.ts';
import { infinispan } from './infinispan/infinispan.ts';
import { native } from './native/native.ts';
import { postgres } from './postgres/postgres.ts';

/** Every engine; a new one is a folder and its name here. */
const ENGINES = [postgres, native, infinispan] as const;

type SchemasOf<Kinds extends readonly { schema: unknown }[]> = {
  readonly [Index in keyof Kinds]: Kinds[Index]['schema'];
};

/** A member in the agent's file: the keys that each engine reads. */
export const memberSchema = z.discriminatedUnion(
  'engine',
  // `map` forgets that it returns as many as it was given, in their order.
  ENGINES.map(({ schema }) => schema) as unknown as SchemasOf<typeof ENGINES>,
);
export type MemberSettings = z.infer<typeof memberSchema>;

/** What is known of the engine of a member. */
export function engineOf({ engine }: MemberSettings): EngineKind<MemberSettings> {
  const kind = ENGINES.find(({ name }) => name === engine);
  if (kind === undefined) throw new Error(`no engine is called ${engine}`);
  return kind;
}

/** What each engine has seen of its members on a host, for an agent's file that is still to be written. */
export async function discoverMembers(host: HostToLookAt): Promise<Discovery> {
  const found = await Promise.all(ENGINES.map((kind) => kind.discover(host)));
  return {
    members: found.flatMap(({ members }) => members),
    notes: found.flatMap(({ notes }) => notes),
  };
}
