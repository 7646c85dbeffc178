import type { PostgresVersion } from '../../lab/postgres.ts';
import type { EngineSubject } from '../engine-suite.ts';
import { postgres } from '../../../agent/engines/postgres/postgres.ts';
import { killedAgent } from '../kill-agent.ts';
import { beginCapture } from '../tested-capture.ts';
import { footprintAtRest, postgresLab } from './lab.ts';

/** A PostgreSQL server as the shared suite sees it. */
export async function postgresSubject(
  version: PostgresVersion,
  settings: readonly string[],
): Promise<EngineSubject> {
  const lab = await postgresLab(version, { settings });
  const { server, engine, folder } = lab;
  return {
    engine,
    start: () => server.start(),
    stop: () => Promise.resolve(server.stop()),
    begin: () => beginCapture(engine, folder),
    async write() {
      await server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');
    },
    async visible() {
      const [row] = await server.query<{ count: number }>('SELECT count(*)::int FROM entry');
      return row?.count ?? 0;
    },
    footprint: () => footprintAtRest(server),
    openGuardian: () => postgres.openGuardian(lab.settings),
    killedAgent: (state, attempt) => killedAgent(lab.settings, folder, state, attempt),
    remove: () => Promise.resolve(lab.remove()),
  };
}
