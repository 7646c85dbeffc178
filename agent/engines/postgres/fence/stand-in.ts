import { ABSENT_STANDBY, Acknowledger, STANDBY_NAME } from './acknowledger.ts';
import type { ConnectionSettings } from '../server/connection.ts';
import { mentionsStandby, namesStandby } from './standby-names.ts';
import type { PrimaryUndo } from './standby-setting.ts';
import { settledInTime } from '../server/wait-until.ts';

const JOIN_MS = 3000;

/**
 * The standby that an armed server waits for, in the place of one that is gone, for as long as the setting cannot be put
 * back (a mistake in a configuration file, a privilege that was taken away). It acknowledges everything, so commits go on.
 */
export class StandIn {
  readonly #settings: ConnectionSettings;
  #standby: Acknowledger | null = null;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
  }

  /** Where it cannot help, or get in, nothing comes of it. Idempotent. */
  async join(undo: PrimaryUndo): Promise<void> {
    const name = namesStandby(undo.armed.at(-1) ?? '', STANDBY_NAME) ? STANDBY_NAME : ABSENT_STANDBY;
    // Nothing was set: there is nothing that it could stand in for.
    if (undo.standing === true) return;
    // Its word would count for a standby of the owner's, once the setting is put back.
    if (mentionsStandby(undo.original, name)) return;
    if (this.#standby?.lost === null) return;
    await this.leave();
    this.#standby = new Acknowledger(this.#settings, () => undefined, { applicationName: name });
    await settledInTime('the stand-in to stream', this.#standby.connect(), JOIN_MS).catch(() => this.leave());
  }

  async leave(): Promise<void> {
    const standby = this.#standby;
    this.#standby = null;
    await standby?.stop();
  }
}
