import type * as z from 'zod';
import type { Discovery, HostToLookAt, Preparation } from './discovery.ts';
import type { Engine, Guardian, MemberMemory } from './engine.ts';

/** What the agent knows of an engine before a member of it is opened. Loads no more than the settings. */
export interface EngineKind<Settings = never> {
  /** The word after `engine:` in the agent's file. */
  readonly name: string;
  /** The keys of a member in the agent's file. */
  readonly schema: z.ZodType<Settings>;
  /** The same settings with the paths made absolute that the file may name relative to itself. */
  located(settings: Settings, absolute: (relative: string) => string): Settings;
  /** Refuses what each key may say by itself and the file must not: throws a `StillpointError`. */
  mustBeSafe(settings: Settings): void;
  /** The directories that a restore of the member replaces, absolute. */
  directories(settings: Settings): readonly string[];
  /** The engine of a member. */
  create(settings: Settings, memory?: MemberMemory): Promise<Engine>;
  /**
   * For the guard process: opens and holds what an undo will need, so that nothing has to be set up in the bad moment.
   * Loads no more than that: a guard starts with every operation. Undos of one operation arrive one after another and
   * replace each other.
   */
  openGuardian(settings: Settings): Promise<Guardian>;
  /** For `stillpoint-agent init`: the members of this engine on a host. Changes nothing. */
  discover(host: HostToLookAt): Promise<Discovery>;
  /** What a member must be given before its first checkpoint; null where it needs nothing. */
  prepare(settings: Settings): Promise<Preparation | null>;
}
