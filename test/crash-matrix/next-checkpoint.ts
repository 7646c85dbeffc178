import { expect } from 'chai';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { EXIT } from '../../shared/domain/errors.ts';
import type { TestGrid } from '../lab/grid.ts';
import { TRIES } from './subject.ts';

const CREATE = ['checkpoint', 'create', 'next', '--output', 'json', '--quiet'];

/** Resolves to the id of a new checkpoint of which no member is absent. An abort is followed by another try, no refusal is. */
export async function nextCheckpoint(grid: TestGrid): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    const { code, stdout, stderr } = await grid.run(CREATE);
    if (code === EXIT.aborted && tries < TRIES) continue;
    expect(code, stdout + stderr).to.equal(0);
    const { checkpoint, absent } = JSON.parse(stdout) as CheckpointReport;
    expect(absent).to.deep.equal([]);
    return checkpoint;
  }
}
