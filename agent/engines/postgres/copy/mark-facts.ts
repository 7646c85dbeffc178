import type { Client } from 'pg';
import type { Mark } from '../../../../shared/domain/grid.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { outOfOrder } from '../../engine.ts';
import { fileEndingAt, parseLsn } from '../journal/lsn.ts';
import { deliveryWarnings } from '../look/delivery.ts';
import type { PrimarySession } from '../primary-session.ts';
import type { PostgresFacts } from './facts.ts';
import { readPrepared, type PreparedTransaction } from './prepared-transactions.ts';
import { primaryFacts } from './primary-facts.ts';

/**
 * What an operation finds out that marks a primary and copies nothing of it: the facts for a restore from its operator's
 * own copy. What only that copy knows, the restore reads in it.
 */
export class MarkFacts {
  readonly #session: PrimarySession;
  #prepared: readonly PreparedTransaction[] | null = null;
  #warnings: readonly Warning[] = [];

  constructor(session: PrimarySession) {
    this.#session = session;
  }

  /** The journal is followed: what stands prepared now is older than what it will say, or is in it too. */
  async begin(): Promise<void> {
    const { control, journal } = this.#session.ready();
    journal.store.startsAt(journal.receiver.start);
    this.#prepared = await readPrepared(control);
  }

  read(mark: Mark | null): Promise<PostgresFacts> {
    return this.#session.call(async () => {
      const { settings, owners } = this.#session;
      const { control, facts, journal } = this.#session.ready();
      const prepared = this.#prepared;
      if (prepared === null || mark === null) throw outOfOrder('facts before the mark');
      // The file that ends at the mark is complete, and an archive gets it, whatever the server writes next.
      await control.query('SELECT pg_switch_wal()');
      const markPosition = parseLsn(mark.position);
      await journal.receiver.reached(markPosition);
      const { timeline, segmentBytes } = journal.receiver;
      const file = mark.journalFile ?? fileEndingAt(markPosition, timeline, segmentBytes);
      this.#warnings = await deliveryWarnings(settings.name, control, file);
      const found = await primaryFacts({
        control,
        facts,
        journal,
        settings,
        owners,
        mark,
        markPosition,
        base: { start: null, tablespaces: await readTablespaces(control) },
        damagedPages: [],
        leftOut: [],
        preparedBefore: prepared,
        preparedAfter: prepared,
      });
      // Configuration outside of the data directory is in no copy of that: it stays as it is.
      return { ...found, also: [] };
    });
  }

  warnings(): readonly Warning[] {
    return this.#warnings;
  }
}

async function readTablespaces(control: Client): Promise<PostgresFacts['tablespaces']> {
  const { rows } = await control.query<{ oid: string; location: string }>(
    `SELECT oid::text, pg_tablespace_location(oid) AS location FROM pg_tablespace
      WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid`,
  );
  return rows;
}
