import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport } from '../../../coordinator/reports.ts';
import { openRepository } from '../../../shared/repository/open.ts';
import { stillpoint } from '../../lab/processes.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { readBack, type Files } from '../../repository/samples.ts';
import { readLog } from './changes.ts';
import { recordingEnv } from './record-process.ts';
import type { RecordedRun } from './recorded-run.ts';

const HOSTS = ['127.0.75.1', '127.0.75.2'];
const ROWS = 50;

/**
 * Records the processes of a real grid: coordinators and two agents, who make two checkpoints that share chunks, and
 * delete the first. A small reference grid, because every change of its repository is one more power cut.
 */
export async function recordLabRun(): Promise<RecordedRun> {
  const folder = temporaryFolder('power-cut');
  const log = join(folder.path, 'record');
  const repository = join(folder.path, 'disk', 'repository');
  mkdirSync(join(folder.path, 'disk'));
  let lab: ReferenceLab | null = null;
  try {
    // Made by the command, so that its making is in the record.
    const made = await stillpoint(
      ['repository', 'init', '--repository', repository],
      recordingEnv(log, repository),
    );
    if (made.code !== 0) throw new Error(`exit ${made.code ?? 'by signal'}: ${made.stderr}${made.stdout}`);
    lab = await createReferenceLab({
      hosts: HOSTS,
      copysets: { a: 2 },
      satellites: 0,
      proxies: 1,
      repository,
      env: recordingEnv(log, repository),
    });
    await write(lab, 'first');
    const first = await create(lab, 'first');
    await write(lab, 'second');
    const second = await create(lab, 'second');
    await mustSucceed(lab, ['checkpoint', 'delete', first, '--yes']);
    const shared = await filesOf(repository, second);
    return { changes: readLog(log), repository, shared, remove: () => folder.remove() };
  } catch (error) {
    folder.remove();
    throw error;
  } finally {
    await lab?.close();
  }
}

async function write({ reference }: ReferenceLab, table: string): Promise<void> {
  const client = reference.client();
  try {
    for (let row = 0; row < ROWS; row += 1) await client.put(table, `row ${row}`, 'x'.repeat(100), 'a');
  } finally {
    client.close();
  }
}

async function create(lab: ReferenceLab, name: string): Promise<string> {
  const said = await mustSucceed(lab, ['checkpoint', 'create', name, '--quiet']);
  return (JSON.parse(said) as CheckpointReport).checkpoint;
}

async function mustSucceed({ grid }: ReferenceLab, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await grid.run([...args, '--output', 'json']);
  if (code !== 0) throw new Error(`exit ${code ?? 'by signal'}: ${stdout}${stderr}`);
  return stdout;
}

/** Of the first node, those that are not empty. */
async function filesOf(location: string, checkpoint: string): Promise<Files> {
  const repository = await openRepository(location, { threads: 1 });
  try {
    const files = await readBack(repository, checkpoint, 'a1');
    return Object.fromEntries(Object.entries(files).filter(([, bytes]) => bytes.length > 0));
  } finally {
    await repository.close();
  }
}
