import { readFileSync } from 'node:fs';
import { commitsOn } from '../lab/commits.ts';
import { createGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { nextCheckpoint } from './next-checkpoint.ts';
import { restoreTo } from './restored.ts';
import { LEASE_SECONDS, SETTLES_WITHIN_MS, type Subject } from './subject.ts';

const HOSTS = ['127.0.71.1', '127.0.71.2'];
const OTHERS = ['127.0.72.1', '127.0.72.2'];
/** The second has a hot standby, beside the primary of the first. */
const COPYSETS = [
  { name: 'a', hosts: [0] },
  { name: 'b', hosts: [1, 0] },
];
const MEMBER = 'aa';

/** Two PostgreSQL servers and a standby. The engine is the first of them: its postmaster and all its children. */
export async function postgresSubject(env: NodeJS.ProcessEnv = {}): Promise<Subject> {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  const grid = await createGrid({
    hosts: HOSTS,
    copysets: COPYSETS,
    leaseSeconds: LEASE_SECONDS,
    env: { ...hooks.env, ...env },
  });
  const { server } = grid.member(MEMBER);
  for (const one of grid.primaries) await one.server.query(TABLE_SQL);
  let stopped: number[] = [];
  return {
    kind: 'postgres',
    grid,
    hooks,
    member: MEMBER,
    shards: postgresShards(grid.primaries.map((one) => one.server.url)),
    engine: {
      async kill() {
        server.kill();
        await until('the server to be gone', () => server.postmasterPid() === null);
      },
      stop() {
        const postmaster = server.postmasterPid() ?? 0;
        // The postmaster first: it starts no more children then.
        process.kill(postmaster, 'SIGSTOP');
        const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
        stopped = [postmaster, ...children.trim().split(' ').map(Number)];
        for (const pid of stopped) signalTo(pid, 'SIGSTOP');
        return Promise.resolve();
      },
      goOn() {
        for (const pid of stopped) signalTo(pid, 'SIGCONT');
        stopped = [];
        return Promise.resolve();
      },
      async start() {
        if (server.postmasterPid() === null) await server.start();
      },
    },
    async expectWrites(engineRuns, withinMs) {
      const asked = grid.primaries.filter(({ name }) => engineRuns || name !== MEMBER);
      await until('every server to commit', () => commitsOn(asked), withinMs);
    },
    expectUntouched: () => grid.expectUntouched('', SETTLES_WITHIN_MS),
    expectNextCheckpoint: () => nextCheckpoint(grid),
    async restored(checkpoint) {
      await grid.killEverything();
      const other = await createGrid({ beside: grid, empty: true, hosts: OTHERS, copysets: COPYSETS });
      try {
        await restoreTo(other, checkpoint, HOSTS, OTHERS);
      } catch (error) {
        await other.close();
        throw error;
      }
      const urls = other.primaries.map((one) => one.server.url);
      return { shards: postgresShards(urls), close: () => other.close() };
    },
    async close() {
      await grid.close();
      folder.remove();
    },
  };
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}
