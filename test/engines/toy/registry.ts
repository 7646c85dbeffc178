import * as z from 'zod';
import type { EngineKind } from '../../../agent/engines/engine-kind.ts';
import * as real from '../../../agent/engines/registry.ts';
import { toy, toyMemberSchema } from './toy-engine.ts';

/** The registry with the toy engine among the others. */
export const memberSchema = z.union([real.memberSchema, toyMemberSchema]);
type MemberSettings = z.infer<typeof memberSchema>;

export function engineOf(settings: MemberSettings): EngineKind<MemberSettings> {
  return settings.engine === 'toy' ? toy : real.engineOf(settings);
}
