import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Undo } from '../../../agent/engines/engine.ts';
import type { PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import type { PostgresVersion } from '../../lab/postgres.ts';
import type { EngineSubject } from '../engine-suite.ts';
import { beginCapture, footprint, postgresLab, until } from './lab.ts';

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
    async footprint() {
      await until('our connections to be gone', async () => {
        const seen = await footprint(server);
        return seen.connections.length === 0 && seen.slots.length === 0;
      });
      return footprint(server);
    },
    killedAgent: (state) => killedAgent(lab.settings, folder, state),
    remove: () => Promise.resolve(lab.remove()),
  };
}

/** A real process that dies of SIGKILL in this state. */
async function killedAgent(
  settings: PostgresSettings,
  folder: string,
  state: 'armed' | 'frozen',
): Promise<Undo> {
  const child = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('./killed-agent.ts', import.meta.url)),
      '--settings',
      JSON.stringify(settings),
      '--folder',
      mkdtempSync(join(folder, 'killed-')),
      '--state',
      state,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.endsWith('\n')) break;
  }
  child.kill('SIGKILL');
  await ended;
  return JSON.parse(said) as Undo;
}
