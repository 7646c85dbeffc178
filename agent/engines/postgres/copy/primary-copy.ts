import type { Mark } from '../../../../shared/domain/grid.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { outOfOrder, type Copy, type CopyContext } from '../../engine.ts';
import { ownerOf } from '../../restore/owner.ts';
import type { BaseCopy } from './archive-receiver.ts';
import { copyBase } from './base-copy.ts';
import { storeDirectories } from './collect.ts';
import { CopyWarnings, damagedPageWarnings, describePages, pagesDamaged } from './copy-warnings.ts';
import type { PostgresFacts } from './facts.ts';
import { storeLeftOut } from './left-out.ts';
import { parseLsn } from '../journal/lsn.ts';
import { readPrepared, type PreparedTransaction } from './prepared-transactions.ts';
import { primaryFacts } from './primary-facts.ts';
import type { PrimarySession } from '../primary-session.ts';
import { TablespaceWatch } from './tablespace-watch.ts';

interface Copied {
  readonly base: BaseCopy;
  readonly preparedBefore: readonly PreparedTransaction[];
  readonly preparedAfter: readonly PreparedTransaction[];
  readonly tablespaces: TablespaceWatch;
  readonly damagedPages: readonly string[];
  readonly leftOut: PostgresFacts['leftOut'];
}

/** The base copy of a primary, which its journal is replayed on, and its configuration. */
export class PrimaryCopy implements Copy {
  readonly #session: PrimarySession;
  readonly #context: CopyContext;
  #copied: Copied | null = null;

  constructor(session: PrimarySession, context: CopyContext) {
    this.#session = session;
    this.#context = context;
  }

  begin(): Promise<void> {
    return this.#session.call(async () => {
      const { settings, signal } = this.#session;
      const { checkpoint, artifacts, progress } = this.#context;
      const { control, facts, journal } = this.#session.ready();
      const preparedBefore = await readPrepared(control);
      const tablespaces = await TablespaceWatch.begin(settings.name, control);
      const warnings = new CopyWarnings();
      const pages = (): Promise<string[]> => describePages(settings, control, warnings.damagedPages);
      const base = await copyBase({
        settings,
        label: `stillpoint ${checkpoint}`.slice(0, 200),
        serverVersion: facts.serverVersion,
        artifacts,
        signal,
        progress,
        warnings,
        started: (start) => journal.store.startsAt(start),
      }).catch(async (error: unknown) => {
        if (warnings.damagedPages.length === 0 || signal.aborted) throw error;
        throw pagesDamaged(settings.name, await pages());
      });
      const damagedPages = await pages();
      const leftOut = await storeLeftOut(artifacts, settings, warnings.leftOut, await ownerOf(settings));
      const preparedAfter = await readPrepared(control);
      this.#copied = { base, preparedBefore, preparedAfter, tablespaces, damagedPages, leftOut };
    });
  }

  finish(mark: Mark | null): Promise<PostgresFacts> {
    return this.#session.call(async () => {
      const { settings, owners } = this.#session;
      const { control, facts, journal } = this.#session.ready();
      if (this.#copied === null || mark === null) throw outOfOrder('collect before the mark');
      const { tablespaces, ...copied } = this.#copied;
      await tablespaces.check(copied.base);
      await storeDirectories(this.#context.artifacts, settings.also, await ownerOf(settings));
      const markPosition = parseLsn(mark.position);
      return primaryFacts({ control, facts, journal, settings, owners, mark, markPosition, ...copied });
    });
  }

  warnings(): readonly Warning[] {
    return damagedPageWarnings(this.#session.settings.name, this.#copied?.damagedPages ?? []);
  }

  /** All of it is in the repository, or on its way there. */
  abandon(): Promise<void> {
    this.#session.cancel();
    return Promise.resolve();
  }
}
