import type { Client } from 'pg';

const SHORTEST_MS = 1000;
/** Over less than this a rate is of a moment, and counts only where nothing better is known. */
const TELLING_MS = 60_000;
const LONGEST_MS = 3_600_000;
/** An average over less says little: a server that was just loaded writes otherwise from now on. */
const LEAST_AVERAGED_SECONDS = 600;

interface Sample {
  readonly at: number;
  readonly position: number;
  readonly server: string;
}

/** How much journal a server writes in a second, from two looks; before there are two, from its own statistics. */
export class JournalRate {
  #last: Sample | null = null;

  /** 0 where it is not known. */
  async read(client: Client, server: string, now: number): Promise<number> {
    const { rows } = await client.query<{ position: string; average: number | null }>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text AS position,
              (SELECT wal_bytes::float8 / extract(epoch FROM now() - stats_reset)::float8 FROM pg_stat_wal
                WHERE now() - stats_reset > make_interval(secs => ${LEAST_AVERAGED_SECONDS})) AS average`,
    );
    const [row] = rows;
    if (row === undefined) return 0;
    const sample = { at: now, position: Number(row.position), server };
    const last = this.#last;
    const elapsedMs = last === null ? 0 : sample.at - last.at;
    const isUsable = last?.server === server && elapsedMs >= SHORTEST_MS && elapsedMs <= LONGEST_MS;
    // Too soon after it the earlier look stays, so that there is one to compare with.
    if (!isUsable || elapsedMs >= TELLING_MS)
      this.#last = last?.server === server && elapsedMs < SHORTEST_MS ? last : sample;
    const measured = isUsable ? ((sample.position - last.position) * 1000) / elapsedMs : null;
    const best = elapsedMs >= TELLING_MS ? (measured ?? row.average) : (row.average ?? measured);
    return Math.max(0, Math.round(best ?? 0));
  }
}
