import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HoldReport } from '../../coordinator/jobs/hold-report.ts';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { ofServerUser } from '../lab/base-backup.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { numbersOf, writeRow } from '../lab/numbered-rows.ts';
import { serverUser } from '../lab/postgres.ts';
import { until } from '../lab/processes.ts';
import { recipeOf, settingsOf } from '../lab/recipes.ts';
import { postgresShards, TABLE_SQL } from '../lab/shards.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { bringPrograms, NoLabHere } from './lab/tools.ts';

// Goal: what pgBackRest backed up comes back to a journal checkpoint, and to a quiesce, by the guide's recipe. Method: the
// recipe and the real pgBackRest of Debian's, a real server that archives as the guide says, with a tablespace, and the
// real commands. Its version knows no server that is newer than 15.

const HOST = '127.0.84.1';
const IMAGES = '/srv/images/orders-1a';

describe('@short a PostgreSQL server that pgBackRest backs up', function () {
  this.timeout(180_000);
  let folder: ReturnType<typeof temporaryFolder>;
  const at = (name: string): string => join(folder.path, name);
  let grid: TestGrid;
  const shards = (): ReturnType<typeof postgresShards> => postgresShards([grid.member('aa').server.url]);

  before(async function () {
    try {
      bringPrograms({ pgbackrest: 'pgbackrest' }, (words) => console.log(`      ${words}`));
    } catch (error) {
      if (!(error instanceof NoLabHere)) throw error;
      console.log(`      ${error.message}`);
      this.skip();
    }
    folder = temporaryFolder('pgbackrest');
    for (const name of ['images', 'journals', 'socket', 'repo1', 'log', 'lock', 'spool', 'fast'])
      mkdirSync(at(name));
    chmodSync(at('fast'), 0o700);
    ofServerUser(folder.path);
    grid = await createGrid({
      version: '15',
      hosts: [HOST],
      copysets: [{ name: 'a', hosts: [0] }],
      settings: [
        'archive_mode = on',
        `unix_socket_directories = '${at('socket')}'`,
        settingsOf('pgBackRest', { ...program(), '/srv/journals/orders-1a': at('journals') }),
      ],
      hba: ['local all all trust'],
      memberLines: () => [`images: ${at('images')}`, `journals: ${at('journals')}`],
    });
    const { data, port, query } = grid.member('aa').server;
    writeFileSync(at('pgbackrest.conf'), configuration(data, port));
    asServerUser(`pgbackrest --config=${at('pgbackrest.conf')} --stanza=orders-1a stanza-create`);
    await query(`CREATE TABLESPACE fast LOCATION '${at('fast')}'`);
    await query(TABLE_SQL);
    await query('ALTER TABLE causal SET TABLESPACE fast');
  });

  after(async () => {
    await grid?.close();
    folder?.remove();
  });

  const program = (): Record<string, string> => ({
    'pgbackrest --stanza': `pgbackrest --config=${at('pgbackrest.conf')} --stanza`,
  });

  function configuration(data: string, port: number): string {
    const places = ['repo1', 'log', 'lock', 'spool'].map((name) => `${name}-path=${at(name)}`);
    const server = [
      `pg1-path=${data}`,
      `pg1-port=${port}`,
      `pg1-socket-path=${at('socket')}`,
      'pg1-user=postgres',
    ];
    return ['[global]', ...places, '[orders-1a]', ...server, ''].join('\n');
  }

  function asServerUser(words: string): void {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', words], {
      encoding: 'utf8',
      cwd: '/',
      ...serverUser,
    });
    expect(status, stdout + stderr).to.equal(0);
  }

  async function done<T>(...words: readonly string[]): Promise<T> {
    const [command = '', ...rest] = words;
    const { code, stdout, stderr, json } = await grid.run([command, '--output', 'json', '--quiet', ...rest]);
    expect(code, stdout + stderr).to.equal(0);
    return json as T;
  }

  async function restored({ checkpoint }: HoldReport, set: string): Promise<number[]> {
    const report = await done<RestoreReport>('restore', checkpoint, '--set', set, '--stop', '--yes');
    expect(report).to.deep.include({ checkpoint, set, verified: true });
    const { data } = grid.member('aa').server;
    expect(readFileSync(join(data, 'postgresql.auto.conf'), 'utf8')).not.to.match(/^restore_command/m);
    return (await numbersOf(shards()))[0] ?? [];
  }

  /** A restore leaves it off, where one was before. */
  async function archiving(): Promise<void> {
    const { server } = grid.member('aa');
    await server.query('ALTER SYSTEM RESET archive_mode');
    server.stop();
    await server.start();
  }

  it('comes back from what it unpacked, and the journal up to a later checkpoint and no further', async () => {
    await writeRow(shards(), 1);
    asServerUser(recipeOf('pgBackRest', 0, { ...program(), [IMAGES]: at('images') }));
    await done('set', 'add', 'weekly', 'aa', '--image', 'weekly');
    await writeRow(shards(), 2);
    const report = await done<HoldReport>('journal-checkpoint');
    await writeRow(shards(), 3);
    const [file = ''] = Object.values(report.journalMap);
    await until('the journal of the mark to be archived', () => existsSync(join(at('journals'), file)));

    expect(await restored(report, 'weekly')).to.deep.equal([1, 2]);
  });

  it('comes back from what it backed up while a quiesce held, with the journal that it copied beside', async () => {
    await archiving();
    await writeRow(shards(), 4);
    const recipe = recipeOf('pgBackRest', 0, {
      ...program(),
      [IMAGES]: at('images'),
      weekly: 'quiesced',
      '--start-fast': '--start-fast --archive-copy',
    });
    writeFileSync(at('recipe'), recipe);
    const user = serverUser === null ? [] : ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const words = ['--set', 'quiesced', '--image', '{set}', '--', ...user, 'bash', at('recipe')];
    const report = await done<HoldReport>('quiesce', '--allow-reads', ...words);
    expect(report.set?.problems).to.deep.equal([]);
    await writeRow(shards(), 5);

    expect(await restored(report, 'quiesced')).to.deep.equal([1, 2, 4]);
  });
});
