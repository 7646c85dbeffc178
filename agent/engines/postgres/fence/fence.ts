import type { Client } from 'pg';
import type { HoldContext } from '../../engine.ts';
import { ABSENT_STANDBY, OUR_STANDBYS, STANDBY_NAME } from './acknowledger.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import type { PrimaryUndo } from './standby-setting.ts';
import { namesStandby, withStandby } from './standby-names.ts';

/** Nothing newer than `position` (an LSN) comes from the standby whose walsender is `processId`. */
export interface LastAcknowledgement {
  readonly position: string;
  readonly processId: number;
}

/**
 * How commits are held back. Armed, the server is one message away from holding every commit; closed, commits
 * are written to the journal, but neither visible nor acknowledged; opened, all that wait return at once.
 */
export interface Fence {
  /** Rejects, before it changes anything more, once the signal it was made with is aborted. */
  arm(): Promise<void>;
  /**
   * Resolves when the order to hold is given. The fence holds as soon as the server has taken that up, which
   * the statement that marks sees for itself by the last acknowledgement; null: it holds already.
   */
  close(): Promise<LastAcknowledgement | null>;
  /** Resolves when what waited is released. */
  open(): Promise<void>;
  /** Lets go in this moment, whatever else is under way, where that takes no change of the setting. */
  release(): void;
  /** Puts the owner's setting back; resolves when commits do not wait for us any more. */
  disarm(): Promise<void>;
  /** Why it cannot have held without a break; null when nothing speaks against it. */
  broken(): string | null;
  /** Ends threads and connections, whatever the state. The setting is not touched. Idempotent. */
  drop(): Promise<void>;
}

export interface FenceContext {
  readonly settings: ConnectionSettings & { readonly data: string };
  readonly control: Client;
  readonly undo: PrimaryUndo;
  readonly signal: AbortSignal;
  readonly step: HoldContext['step'];
  /** Called once when what the armed server waits for is gone: then commits hang until the setting is put back. */
  readonly lost: () => void;
}

/** Every value that a fence may put in the place of this one. */
export function armedNames(original: string): string[] {
  const names = withStandby(original, STANDBY_NAME);
  return [`FIRST 1 (${ABSENT_STANDBY})`, ...(names === null ? [] : [names])];
}

/** Whether a list is that of a freeze, whoever's it is. */
export function isArmed(names: string): boolean {
  return OUR_STANDBYS.some((name) => namesStandby(names, name));
}
