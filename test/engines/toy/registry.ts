import { z } from 'zod';
import type { Engine, Guardian } from '../../../agent/engines/engine.ts';
import * as real from '../../../agent/engines/registry.ts';
import { createToyEngine, toyGuardian, toyMemberSchema } from './toy-engine.ts';

/** The registry with a line for the toy engine, as every other has one. */
export const memberSchema = z.union([real.memberSchema, toyMemberSchema]);
type MemberSettings = z.infer<typeof memberSchema>;

export async function createEngine(settings: MemberSettings): Promise<Engine> {
  return settings.engine === 'toy' ? createToyEngine(settings) : real.createEngine(settings);
}

export async function standGuard(settings: MemberSettings): Promise<Guardian> {
  return settings.engine === 'toy' ? toyGuardian(settings) : real.standGuard(settings);
}
