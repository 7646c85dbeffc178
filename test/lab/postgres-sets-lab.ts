import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ofServerUser } from './base-backup.ts';
import { createGrid, type TestGrid, type TestMember } from './grid.ts';
import { History } from './history.ts';
import { ROOT, until, type Finished } from './processes.ts';
import { postgresShards, TABLE_SQL } from './shards.ts';
import { temporaryFolder } from './temporary.ts';

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
/** Older than, or as old as, every pg_basebackup that may be on the machine; one refuses a newer server. */
const VERSION = '15';
/** Where machines have none, what does the same over the same protocol. */
const HAS_TOOL = spawnSync('pg_basebackup', ['--version']).status === 0;

/**
 * A grid of PostgreSQL servers that archive their journal: `aa` with the standby `ab`, and `ba`, which has a tablespace.
 * Its operator copies with pg_basebackup.
 */
export class PostgresSetsLab {
  readonly grid: TestGrid;
  readonly history: History;
  readonly #folder: ReturnType<typeof temporaryFolder>;

  private constructor(grid: TestGrid, folder: ReturnType<typeof temporaryFolder>) {
    this.grid = grid;
    this.history = new History(() => postgresShards(grid.primaries.map(({ server }) => server.url)));
    this.#folder = folder;
  }

  static async launch(hosts: readonly string[]): Promise<PostgresSetsLab> {
    const folder = temporaryFolder('sets');
    for (const place of ['images', 'journals', 'spaces'])
      mkdirSync(join(folder.path, place), { mode: 0o755 });
    const placeOf = (what: string, member: string): string => {
      // A standby is built from the image of its primary.
      const place = join(folder.path, what, member === 'ab' ? 'aa' : member);
      if (!existsSync(place)) {
        mkdirSync(place, { recursive: true });
        // The server archives to it, whoever it runs as.
        chmodSync(place, 0o777);
      }
      return place;
    };
    const grid = await createGrid({
      version: VERSION,
      hosts,
      copysets: [
        { name: 'a', hosts: [0, 1] },
        { name: 'b', hosts: [1] },
      ],
      settings: ['fsync = off', 'archive_mode = on', 'archive_timeout = 0', 'wal_keep_size = 64MB'],
      memberLines: (member) => [
        `images: ${placeOf('images', member)}`,
        `journals: ${placeOf('journals', member)}`,
      ],
    });
    const lab = new PostgresSetsLab(grid, folder);
    try {
      for (const { name, server } of grid.primaries) {
        const archive = placeOf('journals', name);
        server.configure([
          `archive_command = 'cp %p ${archive}/%f.part && mv ${archive}/%f.part ${archive}/%f'`,
        ]);
        await server.query('SELECT pg_reload_conf()');
        await server.query(TABLE_SQL);
      }
      const fast = join(folder.path, 'spaces/fast');
      mkdirSync(fast, { mode: 0o700 });
      ofServerUser(join(folder.path, 'spaces'));
      const { server } = grid.member('ba');
      await server.query(`CREATE TABLESPACE fast LOCATION '${fast}'`);
      await server.query('ALTER TABLE causal SET TABLESPACE fast');
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.grid.close();
    this.#folder.remove();
  }

  /** Where the rows of `ba` lie; each restore gives them a place of their own. */
  async tablespace(): Promise<string> {
    const [row] = await this.grid
      .member('ba')
      .server.query<{ location: string }>(
        "SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace WHERE spcname = 'fast'",
      );
    return row?.location ?? '';
  }

  images(member: string): string {
    return join(this.#folder.path, 'images', member);
  }

  journals(member: string): string {
    return join(this.#folder.path, 'journals', member);
  }

  /** The words of a command that makes an image of a server that runs. */
  async baseBackup(member: string, image: string): Promise<string[]> {
    const { host, port } = this.grid.member(member).server;
    const into = join(this.images(member), image);
    if (!HAS_TOOL)
      return [process.execPath, join(ROOT, 'test/lab/base-backup-main.ts'), VERSION, host, `${port}`, into];
    return [
      'pg_basebackup',
      `--host=${host}`,
      `--port=${port}`,
      '--username=postgres',
      '--format=plain',
      '--wal-method=stream',
      '--checkpoint=fast',
      '--no-sync',
      `--pgdata=${into}`,
      ...(member === 'ba' ? [`--tablespace-mapping=${await this.tablespace()}=${into}.fast`] : []),
    ];
  }

  /** Runs one beside clients of this process. */
  async backUp(member: string, image: string): Promise<void> {
    const [program = '', ...words] = await this.baseBackup(member, image);
    await promisify(execFile)(program, words);
  }

  /** Waits until the archive has a journal file. */
  async archived(member: string, file: string): Promise<void> {
    await until(`${file} of ${member} to be archived`, () => existsSync(join(this.journals(member), file)));
  }

  /** Everything of the grid is gone but what its operator keeps elsewhere, and the agents begin anew. */
  async destroy(): Promise<void> {
    const tablespace = await this.tablespace();
    await this.grid.killEverything();
    for (const { server } of this.grid.members) {
      await until('the server to be gone', () => server.postmasterPid() === null);
      rmSync(server.data, { recursive: true });
    }
    rmSync(tablespace, { recursive: true });
    for (const { state } of this.grid.hosts) rmSync(state, { recursive: true });
    for (const host of this.grid.hosts.keys()) await this.grid.startAgent(host);
  }

  /** How many clients wait for a commit to return. */
  async waitingCommits(): Promise<number> {
    const waiting = await Promise.all(
      this.grid.primaries.map(({ server }) =>
        server.query(
          "SELECT FROM pg_stat_activity WHERE application_name = 'causal' AND wait_event = 'SyncRep'",
        ),
      ),
    );
    return waiting.flat().length;
  }

  /** What a standby shows once it has all of its primary. */
  async rowsOf({ server }: TestMember): Promise<number> {
    const [row] = await server.query<{ rows: number }>('SELECT count(*)::int AS rows FROM causal');
    return row?.rows ?? 0;
  }

  run(...words: readonly string[]): Promise<Finished> {
    return this.grid.run([...words.slice(0, 1), ...JSON_OUTPUT, ...words.slice(1)]);
  }

  async done<T = unknown>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr, json } = await this.run(...words);
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stdout}${stderr}`);
    return json as T;
  }
}
