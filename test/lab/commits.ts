import type { TestMember } from './grid.ts';

/**
 * Whether a commit returns within half a second on each of these primaries now, and synchronous_standby_names is as
 * given: empty as in nearly every lab.
 */
export async function commitsOn(primaries: readonly TestMember[], standbyNames = ''): Promise<boolean> {
  const results = await Promise.all(
    primaries.map(async ({ server }) => {
      const client = await server.connect();
      try {
        const inTime = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500));
        const committed = client.query("SELECT pg_logical_emit_message(true, 'test', 'x')").then(
          () => true,
          () => false,
        );
        if (!(await Promise.race([committed, inTime]))) return false;
        const { rows } = await client.query<{ names: string }>(
          "SELECT current_setting('synchronous_standby_names') AS names",
        );
        return rows[0]?.names === standbyNames;
      } finally {
        await client.end().catch(() => undefined);
      }
    }),
  );
  return results.every((result) => result);
}
