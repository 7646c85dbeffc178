import { assertNever } from '../../shared/domain/assert-never.ts';
import type { MemberSettings } from '../agent-file.ts';
import type { Engine } from './engine.ts';
import { createNativeEngine } from './native/native-engine.ts';
import { createPostgresEngine } from './postgres/postgres-engine.ts';

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
