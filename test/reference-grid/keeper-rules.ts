import type { CopysetState, KeeperState } from './calls.ts';
import type { GridDefinition } from './definition.ts';

export type NodeHealth = 'up' | 'restarted' | 'down';

/** What a primary says of who holds all that it holds. */
export interface Joined {
  readonly term: number;
  readonly nodes: readonly string[];
}

export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** Negative when `one` is older; none is older than any. */
export function compareStates(one: Stamp | undefined, other: Stamp | undefined): number {
  return (one?.term ?? -1) - (other?.term ?? -1) || (one?.version ?? -1) - (other?.version ?? -1);
}

interface Stamp {
  readonly term: number;
  readonly version: number;
}

/** A state restored from a checkpoint begins new terms, so that nothing of later times is taken for its own. */
export function recoveredState(state: KeeperState): KeeperState {
  const copysets = Object.entries(state.copysets);
  return {
    ...state,
    version: state.version + 1,
    copysets: Object.fromEntries(copysets.map(([name, it]) => [name, { ...it, term: it.term + 1 }])),
  };
}

/** What the copysets should be, by what is known of their nodes. */
export function dueCopysets(
  definition: GridDefinition,
  now: KeeperState['copysets'],
  healthOf: (node: string) => NodeHealth,
  joinedOf: (copyset: string) => Joined | undefined,
): KeeperState['copysets'] {
  return Object.fromEntries(
    definition.copysets.map(({ name, nodes }): [string, CopysetState] => {
      const names = nodes.map((node) => node.name);
      const state = now[name];
      if (state === undefined) return [name, { primary: names[0] ?? '', term: 1, inSync: names.slice(0, 1) }];
      return [name, withJoined(afterLosses(state, healthOf), joinedOf(name), names, healthOf)];
    }),
  );
}

/**
 * A node that is down, or was, is not in sync any more; one that is still in sync takes over from a lost primary. When
 * none is, those that came back take it up again: what they acknowledged is on their disks.
 */
function afterLosses(state: CopysetState, healthOf: (node: string) => NodeHealth): CopysetState {
  const up = state.inSync.filter((node) => healthOf(node) === 'up');
  if (up.includes(state.primary)) return up.length === state.inSync.length ? state : { ...state, inSync: up };
  const back = state.inSync.filter((node) => healthOf(node) === 'restarted');
  const inSync = up.length > 0 ? up : back;
  const primary = inSync.includes(state.primary) ? state.primary : inSync[0];
  return primary === undefined ? state : { primary, term: state.term + 1, inSync };
}

/**
 * Who joined counts as in sync from now on. A primary relies on being told so; where it cannot be, because the node went
 * down meanwhile, a new term tells it that nothing it said before counts.
 */
function withJoined(
  state: CopysetState,
  joined: Joined | undefined,
  defined: readonly string[],
  healthOf: (node: string) => NodeHealth,
): CopysetState {
  if (joined?.term !== state.term) return state;
  const more = joined.nodes.filter((node) => defined.includes(node) && !state.inSync.includes(node));
  if (more.some((node) => healthOf(node) === 'down')) return { ...state, term: state.term + 1 };
  return more.length === 0 ? state : { ...state, inSync: [...state.inSync, ...more] };
}
