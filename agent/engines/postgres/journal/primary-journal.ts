import type { Mark } from '../../../../shared/domain/grid.ts';
import { agentDiskError } from '../../../disk-error.ts';
import type { Journal, JournalContext } from '../../engine.ts';
import { serverError } from '../server/connection.ts';
import { parseLsn } from './lsn.ts';
import type { PrimarySession } from '../primary-session.ts';
import { ReceivedJournal, serverGone } from './received-journal.ts';
import { settledInTime } from '../server/wait-until.ts';

const STOP_MS = 5000;

/** The journal of a primary, streamed from before the base copy on. The proof that the fence held is in it too. */
export class PrimaryJournal implements Journal {
  readonly #session: PrimarySession;
  readonly #context: JournalContext;
  readonly #followed: () => Promise<void>;
  #received: ReceivedJournal | null = null;

  /** `followed` is called once, before `follow` resolves. */
  constructor(
    session: PrimarySession,
    context: JournalContext,
    followed: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#session = session;
    this.#context = context;
    this.#followed = followed;
  }

  follow(): Promise<void> {
    const { settings, signal } = this.#session;
    const follow = async (): Promise<void> => {
      const { facts } = this.#session.connected();
      this.#received = await ReceivedJournal.open({
        settings,
        facts,
        context: this.#context,
        signal,
        lost: (error) => void this.#lost(error),
      });
      this.#session.followed(this.#received);
      await this.#followed();
    };
    return this.#session.call(follow, () => this.release());
  }

  finish(mark: Mark): Promise<void> {
    return this.#session.call(async () => {
      const { control, journal } = this.#session.ready();
      // The file really ends there, and everything before the switch is flushed and sent.
      await control.query('SELECT pg_switch_wal()');
      await journal.finish(parseLsn(mark.position));
    });
  }

  /** Its slot goes with its connection, at once; a disk that hangs keeps nobody waiting. */
  async release(): Promise<void> {
    const stopped = this.#received?.release() ?? Promise.resolve();
    await settledInTime('the journal receiver to stop', stopped, STOP_MS).catch(() => undefined);
  }

  /** Nothing that comes later could be right: what it costs the server ends now, and the coordinator hears of it. */
  async #lost(error: unknown): Promise<void> {
    this.#received?.release().catch(() => undefined);
    const own = agentDiskError(error, 'the journal cannot be kept');
    // A server that went away takes all of our sessions with it: then that is the cause.
    const { settings, control } = this.#session;
    const failure = serverError(settings, (await serverGone(control)) ?? own);
    if (this.#session.lose(failure)) this.#context.lost(failure);
  }
}
