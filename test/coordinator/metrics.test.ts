import { expect } from 'chai';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { stillpoint, type Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
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

  it('tell of the last drill, and whether a person could have gone live on it', async () => {
    const drill = (id: string, startedAt: string, outcome: string, rtoMs: number | null): Promise<void> =>
      repository.saveDrill(
        GRID,
        id,
        JSON.stringify({
          format: 1,
          drill: id,
          startedAt,
          checkpoint: newest,
          outcome,
          kept: false,
          rtoMs,
          rpoMs: 60_000,
          bytes: 1,
          phases: [],
        }),
      );
    await drill('later', '2026-11-21T12:00:00.000Z', 'failed', null);
    await drill('earlier', '2026-11-20T12:00:00.000Z', 'passed', 90_000);
    const failed = (await run('metrics')).stdout;
    expect(failed).to.include(`stillpoint_last_drill_passed{grid="${GRID}"} 0\n`);
    expect(failed).to.not.match(/^stillpoint_last_drill_rto_seconds\{/m);
    await drill('latest', '2026-11-22T12:00:00.000Z', 'passed', 90_000);
    expect((await run('metrics')).stdout.split('\n')).to.include.members([
      `stillpoint_last_drill_passed{grid="${GRID}"} 1`,
      `stillpoint_last_drill_rto_seconds{grid="${GRID}"} 90`,
      `stillpoint_last_drill_rpo_seconds{grid="${GRID}"} 60`,
    ]);
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
