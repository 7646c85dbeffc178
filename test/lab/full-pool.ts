import { Client } from 'pg';
import type { PostgresServer } from './postgres.ts';

/**
 * An application whose commits wait, until no connection is left for anybody but superusers. `statement` is given a
 * number of its own for each. As superuser before: CREATE ROLE app LOGIN, and what it may write.
 */
export async function fillWithCommits(
  server: PostgresServer,
  statement: (number: number) => string,
): Promise<Promise<unknown>[]> {
  const url = server.url.replace('postgres@', 'app@');
  const commits: Promise<unknown>[] = [];
  for (;;) {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch {
      return commits;
    }
    const commit = client.query(statement(commits.length));
    commits.push(commit.finally(() => void client.end().catch(() => undefined)));
  }
}
