import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { Engine } from './engines/engine.ts';

/** A member of this host, and the engine that knows its software. */
export interface AgentMember {
  readonly name: string;
  readonly engine: Engine;
  /** The agent's file lets a drill use its place. */
  readonly mayDrill?: boolean;
}

/** Rejects `unknown-member`. */
export function memberOf(members: ReadonlyMap<string, AgentMember>, name: string): AgentMember {
  const member = members.get(name);
  if (member !== undefined) return member;
  throw new StillpointError(
    {
      code: 'unknown-member',
      message: `this agent has no member ${name}`,
      hint: "compare the agent's file with what `stillpoint grid status` prints",
    },
    EXIT.refused,
  );
}
