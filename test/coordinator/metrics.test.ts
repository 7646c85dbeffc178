import { expect } from 'chai';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { stillpoint, type Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
import { reportOf } from './drill-reports.ts';
import { GRID, gridManifest, LINEAGE, storeMember } from '../repository/samples.ts';

// Goal: a monitor that reaches nothing but the repository sees whether the grid could be restored. Method: a repository
// with checkpoints of two lineages, and the command.

const HOUR = 3_600_000;
const COPY = '11111111-2222-4333-8444-555555555555';

describe('the metrics of a repository', () => {
  const folder = temporaryFolder('repository-metrics');
  const location = join(folder.path, 'repository');
  const textfile = join(folder.path, 'collector', 'stillpoint.prom');
  const now = Math.floor(Date.now() / 1000) * 1000;
  let repository: Repository;
  let newest: string;

  before(async () => {
    repository = await madeRepository(location);
    await store(1, now - 30 * HOUR, LINEAGE);
    newest = await store(2, now - 3 * HOUR, LINEAGE);
    await store(3, now - HOUR, COPY);
    await repository.expectLeftovers(GRID, idOf(4, now));
    mkdirSync(join(folder.path, 'collector'));
  });
  after(async () => {
    await repository.close();
    folder.remove();
  });

  const idOf = (counter: number, at: number): string =>
    formatCheckpointId({ at: new Date(at), epoch: 0, counter, name: 'nightly' });

  async function store(counter: number, at: number, lineage: string): Promise<string> {
    const checkpoint = idOf(counter, at);
    const member = await storeMember(repository, checkpoint, 'aa', { rows: Buffer.from('rows') });
    await repository.commit({
      ...gridManifest(checkpoint, [member]),
      lineage,
      windowMs: 5,
      durationMs: 2000,
    });
    return checkpoint;
  }

  const run = (...args: string[]): Promise<Finished> =>
    stillpoint([...args, '--repository', location, '--quiet']);

  it('tell of the newest valid checkpoint of each lineage, and of what became of the others', async () => {
    const { code, stdout, stderr } = await run('metrics');
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    const own = `grid="${GRID}",lineage="${LINEAGE.slice(0, 8)}"`;
    expect(stdout.split('\n')).to.include.members([
      `stillpoint_checkpoint_timestamp_seconds{${own}} ${(now - 3 * HOUR) / 1000}`,
      `stillpoint_checkpoint_timestamp_seconds{grid="${GRID}",lineage="11111111"} ${(now - HOUR) / 1000}`,
      `stillpoint_checkpoint_window_seconds{${own}} 0.005`,
      `stillpoint_checkpoint_duration_seconds{${own}} 2`,
      `stillpoint_checkpoint_members{${own}} 1`,
      `stillpoint_checkpoints{grid="${GRID}",state="valid"} 3`,
      `stillpoint_checkpoints{grid="${GRID}",state="damaged"} 0`,
      `stillpoint_aborted_runs{grid="${GRID}"} 1`,
    ]);
    expect(valueOf(stdout, 'stillpoint_repository_size_bytes')).to.be.greaterThan(1000);
    expect(valueOf(stdout, 'stillpoint_repository_free_bytes')).to.be.greaterThan(0);
    expect(stdout).to.not.match(/^stillpoint_last_verify_\w+\{/m);
  });

  it('tell when a checkpoint was last verified, and that it was damaged', async () => {
    expect((await run('checkpoint', 'verify', newest)).code).to.equal(0);
    const { stdout } = await run('metrics');
    const at = valueOf(stdout, `stillpoint_last_verify_timestamp_seconds{grid="${GRID}"}`);
    expect(at * 1000).to.be.within(now, Date.now());
    expect(stdout).to.include(`stillpoint_last_verify_damaged_places{grid="${GRID}"} 0\n`);

    const chunks = join(location, 'grids', GRID, 'chunks');
    for (const entry of readdirSync(chunks, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) writeFileSync(join(entry.parentPath, entry.name), 'other');
    expect((await run('checkpoint', 'verify', newest)).code).to.equal(6);
    expect((await run('metrics')).stdout).to.match(
      new RegExp(`^stillpoint_last_verify_damaged_places\\{grid="${GRID}"\\} [1-9]`, 'm'),
    );
  });

  it('tell when the last drill was, that it failed, and what the last one that passed took', async () => {
    for (const drill of [
      reportOf({ drill: 'one', startedAt: '2026-11-01T00:00:00.000Z', rtoMs: 4500 }),
      reportOf({ drill: 'two', startedAt: '2026-11-08T00:00:00.000Z', rtoMs: null, outcome: 'failed' }),
    ])
      await repository.saveDrill(GRID, drill.drill, JSON.stringify(drill));
    const { stdout } = await run('metrics');
    const drillValue = (name: string): number =>
      valueOf(stdout, `stillpoint_last_drill_${name}{grid="${GRID}"}`);
    expect(drillValue('timestamp_seconds')).to.equal(Date.parse('2026-11-08') / 1000);
    expect(drillValue('passed')).to.equal(0);
    expect(drillValue('passed_timestamp_seconds')).to.equal(Date.parse('2026-11-01') / 1000);
    expect(drillValue('rto_seconds')).to.equal(4.5);
  });

  it('replace a textfile as a whole, for everybody to read, and leave nothing beside it', async () => {
    writeFileSync(textfile, 'of before');
    const written = await run('metrics', '--textfile', textfile, '--output', 'json');
    expect(written).to.deep.include({ code: 0, json: { textfile, grids: [GRID] } });
    expect(readFileSync(textfile, 'utf8')).to.match(/^# HELP stillpoint_metrics_info[^]*\n$/);
    expect(statSync(textfile).mode & 0o777).to.equal(0o644);
    expect(readdirSync(join(folder.path, 'collector'))).to.deep.equal(['stillpoint.prom']);
  });

  it('leave the textfile as it was where the repository is away or the file cannot be written', async () => {
    writeFileSync(textfile, 'of before');
    const away = ['metrics', '--repository', join(folder.path, 'nowhere'), '--output', 'json'];
    expect((await stillpoint([...away, '--textfile', textfile])).code).to.equal(3);
    expect(readFileSync(textfile, 'utf8')).to.equal('of before');
    const refused = await run(
      'metrics',
      '--textfile',
      join(folder.path, 'none', 'x.prom'),
      '--output',
      'json',
    );
    expect(refused.code).to.equal(2);
    expect(refused.json).to.have.nested.property('error.code', 'textfile-failed');
  });
});

function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}
