import { escapeIdentifier, type Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';

/**
 * Subscriptions of this server whose changes get past the fence. What a subscription applies is committed with
 * a synchronous_commit of its own, and CREATE SUBSCRIPTION makes that `off` where nothing else is said: as long
 * as its publisher has traffic, every cut is found invalid.
 */
export async function asynchronousSubscriptions(client: Client, member: string): Promise<Failure[]> {
  const { rows } = await client.query<{ name: string; database: string; commit: string }>(
    `SELECT subname AS name, datname AS database, subsynccommit AS commit
       FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid
      WHERE subenabled AND subsynccommit IN ('off', 'local', 'false', 'no', '0') ORDER BY subname`,
  );
  return rows.map(({ name, database, commit }) => ({
    code: 'subscription-asynchronous',
    message: `${member}: subscription ${name} commits with synchronous_commit = ${commit}, past every fence`,
    hint: `in database ${database}: ALTER SUBSCRIPTION ${escapeIdentifier(name)} SET (synchronous_commit = on);`,
  }));
}
