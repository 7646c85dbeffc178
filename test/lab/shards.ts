import { Client } from 'pg';
import type { ReferenceGrid } from '../reference-grid/launch.ts';
import type { Shard } from './causal-clients.ts';
import type { PostgresServer } from './postgres.ts';

export const TABLE_SQL =
  'CREATE TABLE IF NOT EXISTS causal (client int, sequence int, PRIMARY KEY (client, sequence))';

/** PostgreSQL servers by their URLs; the table is the caller's to make. */
export function postgresShards(urls: readonly string[]): Shard[] {
  return urls.map((connectionString) => {
    const connected = async (): Promise<Client> => {
      const client = new Client({ connectionString, application_name: 'causal' });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    };
    return {
      async connect() {
        const connection = await connected();
        return {
          async write(client, sequence) {
            const values = [client, sequence];
            await connection.query({
              name: 'causal',
              // Who writes again after a lost connection may find that it had been written.
              text: 'INSERT INTO causal VALUES ($1, $2) ON CONFLICT DO NOTHING',
              values,
            });
          },
          close: () => void connection.end().catch(() => undefined),
        };
      },
      async rows() {
        const connection = await connected();
        try {
          const { rows } = await connection.query<{ client: number; sequence: number }>(
            'SELECT client, sequence FROM causal',
          );
          return rows;
        } finally {
          await connection.end();
        }
      },
    };
  });
}

/** How many rows one node of a copyset has and the other has not. */
export async function differingRows(primary: PostgresServer, standby: PostgresServer): Promise<number> {
  const rows = async (server: PostgresServer): Promise<Set<string>> => {
    const found = await server.query<{ row: string }>("SELECT client || '/' || sequence AS row FROM causal");
    return new Set(found.map(({ row }) => row));
  };
  return (await rows(primary)).symmetricDifference(await rows(standby)).size;
}

const TABLE = 'causal';
/** Long enough for a fail-over; a client of a grid that is gone gives up after it. */
const PATIENCE_MS = 5000;

/** Copysets of a reference grid, through its proxies. */
export function referenceShards(grid: ReferenceGrid, copysets: readonly string[]): Shard[] {
  return copysets.map((copyset) => ({
    connect() {
      const connection = grid.client(PATIENCE_MS);
      return Promise.resolve({
        write: (client, sequence) => connection.put(TABLE, `${client} ${sequence}`, '', copyset),
        close: () => connection.close(),
      });
    },
    async rows() {
      const connection = grid.client();
      try {
        const rows = await connection.scan(TABLE, copyset);
        return rows.map((row) => {
          const [client, sequence] = row[1].split(' ').map(Number);
          return { client: client ?? 0, sequence: sequence ?? 0 };
        });
      } finally {
        connection.close();
      }
    },
  }));
}
