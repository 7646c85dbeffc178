import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from '../../repository/made.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { checkpointId, GRID, noise, rows, storeCheckpoint } from '../../repository/samples.ts';
import { readLog, toLine, type Recorded } from './changes.ts';
import { recordChanges } from './recorder.ts';
import type { RecordedRun } from './recorded-run.ts';

const SHARED = rows(3000, 'shared');

/**
 * Records a run of this process alone: two checkpoints of two members, the second shares chunks with the first, and the
 * first is deleted.
 */
export async function recordSmallRun(): Promise<RecordedRun> {
  const folder = temporaryFolder('power-cut');
  const log = join(folder.path, 'record');
  const location = join(folder.path, 'disk', 'repository');
  mkdirSync(join(folder.path, 'disk'));
  const append = (line: string): void => appendFileSync(log, line);
  const say = (text: object): void => {
    const now = process.hrtime.bigint();
    append(toLine({ call: 'said', text: JSON.stringify(text) }, now, now));
  };
  const recording = recordChanges(location, append);
  let changes: Recorded[];
  try {
    const repository = await madeRepository(location, { threads: 1 });
    const first = {
      a: { 'base/1': SHARED, 'base/2': noise(900, 'first') },
      b: { 'base/1': noise(700, 'b') },
    };
    await storeCheckpoint(repository, checkpointId(1), first);
    say({ checkpoint: checkpointId(1) });
    const lease = await repository.beginOperation({ grid: GRID, id: 'second', holder: 'the second' });
    await storeCheckpoint(repository, checkpointId(2), {
      a: { 'base/1': SHARED, 'base/2': noise(1100, 'second') },
      b: first.b,
    });
    await lease.refresh();
    await lease.end();
    say({ checkpoint: checkpointId(2) });
    await repository.deleteCheckpoint(GRID, checkpointId(1));
    say({ checkpoint: checkpointId(1), deleted: true });
    await repository.close();
  } finally {
    recording.restore();
    changes = readLog(log);
  }
  return { changes, repository: location, shared: { 'base/1': SHARED }, remove: () => folder.remove() };
}
