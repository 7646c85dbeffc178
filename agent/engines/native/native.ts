import type { EngineKind } from '../engine-kind.ts';
import { absoluteTls } from '../../../shared/rpc/tls-files.ts';
import { mustKeepApart } from '../image-places.ts';
import { nativeMemberSchema, type NativeSettings } from './settings.ts';

export const native = {
  name: 'native',
  schema: nativeMemberSchema,
  mustBeSafe: (settings) => mustKeepApart(settings, [settings.data]),
  located: (settings, absolute) =>
    settings.tls === undefined ? settings : { ...settings, tls: absoluteTls(settings.tls, absolute) },
  directories: ({ data }) => [data],
  create: async (settings) => (await import('./native-engine.ts')).createNativeEngine(settings),
  openGuardian: async (settings) => new (await import('./native-undo.ts')).NativeGuardian(settings).open(),
  discover: async (host) => (await import('./discover.ts')).discoverNative(host),
  prepare: () => Promise.resolve(null),
} satisfies EngineKind<NativeSettings>;
