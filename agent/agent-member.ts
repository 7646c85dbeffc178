import type { Engine } from './engines/engine.ts';

/** A member of this host, and the engine that knows its software. */
export interface AgentMember {
  readonly name: string;
  readonly engine: Engine;
  /** The agent's file lets a drill use its place. */
  readonly mayDrill?: boolean;
}
