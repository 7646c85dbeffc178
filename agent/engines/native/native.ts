import type { EngineKind } from '../engine-kind.ts';
import { nativeMemberSchema, type NativeSettings } from './settings.ts';

export const native = {
  name: 'native',
  schema: nativeMemberSchema,
  mustBeSafe() {},
  directories: ({ data }) => [data],
  create: async (settings) => (await import('./native-engine.ts')).createNativeEngine(settings),
  openGuardian: async (settings) => new (await import('./native-undo.ts')).NativeGuardian(settings).open(),
  discover: async (host) => (await import('./discover.ts')).discoverNative(host),
  prepare: () => Promise.resolve(null),
} satisfies EngineKind<NativeSettings>;
