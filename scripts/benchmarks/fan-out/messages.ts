import type { Fault, Step } from './paced-engine.ts';

/** What the bench and the processes of its agents say to each other. Times in ms of the machine's monotonic clock. */
export interface Planned {
  readonly step: Step;
  readonly fault: Fault;
  readonly member: string;
}

export type ToAgents =
  | {
      readonly type: 'start';
      readonly agents: readonly { readonly configuration: string; readonly members: readonly string[] }[];
    }
  /** What goes wrong in the next checkpoint; null: nothing. Forgets all figures. */
  | { readonly type: 'plan'; readonly plan: Planned | null }
  | { readonly type: 'figures' };

export interface Figures {
  readonly type: 'figures';
  /** By step and whether it was begun or ended: `freeze begun`. */
  readonly seen: Readonly<
    Record<string, { readonly first: number; readonly last: number; readonly count: number }>
  >;
  /** Members. */
  readonly heldNow: number;
  readonly longestHeldMs: number;
  readonly residentMB: number;
}

export type FromAgents = { readonly type: 'started' } | Figures;
