import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../../test/lab/grid.ts';
import { parseSize, rounded } from './figures.ts';

/**
 * MB/s of a checkpoint and of a restore of one server, beside `tar | zstd -1` of the same data directory,
 * and pg_basebackup, pgBackRest and restic where the machine has them.
 */
const { values } = parseArgs({
  options: { size: { type: 'string', default: '1GB' }, json: { type: 'boolean', default: false } },
});

async function main(): Promise<void> {
  const copysets = [{ name: 'a', hosts: [0] }];
  const grid = await createGrid({ templates: true, walSegmentMb: 16, hosts: ['127.0.5.1'], copysets });
  let other: TestGrid | null = null;
  try {
    const { server } = grid.member('aa');
    await server.query(
      `CREATE TABLE ballast AS SELECT g, md5(g::text) || repeat(md5((g % 1000)::text), 24) AS x FROM generate_series(1, ${Math.ceil(parseSize(values.size) / 850)}) AS g`,
    );
    await server.query('CHECKPOINT');
    other = await createGrid({ beside: grid, empty: true, hosts: ['127.0.6.1'], copysets });
    const created = await grid.run(['checkpoint', 'create', 'first', '--quiet', '--output', 'json']);
    const again = await grid.run(['checkpoint', 'create', 'second', '--quiet', '--output', 'json']);
    const restored = await other.run([
      'restore',
      'first',
      '--map',
      '127.0.5.1=127.0.6.1',
      '--yes',
      '--quiet',
      '--output',
      'json',
    ]);
    for (const { code, stderr, stdout } of [created, again, restored])
      if (code !== 0) throw new Error(stderr + stdout);
    const report = created.json as CheckpointReport;
    const megabytes = report.sizeBytes / 1e6;
    const rates: Record<string, number> = {
      'stillpoint checkpoint, first': megabytes / (report.durationMs / 1000),
      'stillpoint checkpoint, second': megabytes / ((again.json as CheckpointReport).durationMs / 1000),
      'stillpoint restore, verified':
        megabytes / ((restored.json as { durationMs: number }).durationMs / 1000),
    };
    add(
      rates,
      'tar | zstd -1',
      megabytes,
      timed(`tar -C ${server.data} -cf - . | zstd -1 -q -c > ${join(grid.root, 'x.tar.zst')}`, [0, 1]),
    );
    addOthers(rates, grid, megabytes);
    const best = Math.max(
      ...Object.entries(rates).flatMap(([name, rate]) => (name.startsWith('stillpoint') ? [] : [rate])),
    );
    const ratio = rounded((rates['stillpoint checkpoint, first'] ?? 0) / best);
    if (values.json)
      process.stdout.write(`${JSON.stringify({ megabytesPerSecond: rates, megabytes, ratio })}\n`);
    else {
      for (const [name, rate] of Object.entries(rates))
        process.stdout.write(`${name.padEnd(34)} ${rounded(rate)} MB/s\n`);
      process.stdout.write(`ratio of the first checkpoint to the fastest other: ${ratio}\n`);
    }
  } finally {
    await other?.close();
    await grid.close();
  }
}

function addOthers(rates: Record<string, number>, grid: TestGrid, megabytes: number): void {
  const { server } = grid.member('aa');
  const has = (program: string): boolean => spawnSync('which', [program]).status === 0;
  const place = join(grid.root, 'others');
  mkdirSync(place);
  if (has('pg_basebackup')) {
    const target = join(place, 'base');
    add(
      rates,
      'pg_basebackup',
      megabytes,
      timed(`pg_basebackup -h ${server.host} -p ${server.port} -U postgres -D ${target} -c fast`),
    );
    rmSync(target, { recursive: true, force: true });
  }
  if (has('restic')) {
    const env = `RESTIC_PASSWORD=x RESTIC_REPOSITORY=${join(place, 'restic')}`;
    execFileSync('sh', ['-c', `${env} restic init -q`]);
    add(rates, 'restic, of the data directory', megabytes, timed(`${env} restic backup -q ${server.data}`));
  }
}

/** Seconds that a command took; null where it failed. tar says 1 when a live file changed under it. */
function timed(command: string, allowed: readonly number[] = [0]): number | null {
  const from = performance.now();
  const { status } = spawnSync('bash', ['-o', 'pipefail', '-c', command], { stdio: 'ignore' });
  return status !== null && allowed.includes(status) ? (performance.now() - from) / 1000 : null;
}

/** A rate that was not measured is left out, not made up. */
function add(rates: Record<string, number>, name: string, megabytes: number, seconds: number | null): void {
  if (seconds === null) process.stderr.write(`${name}: failed on this machine, left out\n`);
  else rates[name] = megabytes / seconds;
}

await main();
process.exit(0);
