import type { EngineKind } from '../engine-kind.ts';
import { infinispanMemberSchema, type InfinispanSettings } from './settings.ts';

export const infinispan = {
  name: 'infinispan',
  schema: infinispanMemberSchema,
  mustBeSafe() {},
  located: (settings) => settings,
  // The data is in memory: a restore replaces what the servers hold, and no directory of theirs.
  directories: () => [],
  create: async (settings, memory) =>
    (await import('./infinispan-engine.ts')).createInfinispanEngine(settings, memory),
  openGuardian: async (settings) => new (await import('./hold/undo.ts')).InfinispanGuardian(settings),
  discover: async (host) => (await import('./discover.ts')).discoverInfinispan(host),
  prepare: async (settings) => (await import('./prepare.ts')).prepareInfinispan(settings),
} satisfies EngineKind<InfinispanSettings>;
