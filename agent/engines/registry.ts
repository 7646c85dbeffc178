import type { Engine } from './engine.ts';
import { createPostgresEngine } from './postgres/postgres-engine.ts';
import type { MemberSettings } from '../agent-file.ts';

/** The engine of a member, as its part of the agent's file says. */
export function createEngine(settings: MemberSettings): Engine {
  return createPostgresEngine(settings);
}
