import { expect } from 'chai';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import { openRepository } from '../../shared/repository/open.ts';
import type { CatalogueEntry, Repository } from '../../shared/repository/repository.ts';
import type { TestGrid } from '../lab/grid.ts';
import type { Finished } from '../lab/processes.ts';
import { isCommittedAt, mustNotCommit, needsNewAttempt, type Cell } from './cells.ts';

/** What came of a checkpoint, in the word of the table. */
export type Ending = 'committed' | 'aborted' | 'invalid' | 'killed, committed' | 'killed, nothing';

/** All that is listed. Read here, as the command would: a command for each look would take most of the time. */
export async function listed({ repository, name }: TestGrid): Promise<readonly CatalogueEntry[]> {
  return withRepository(repository, (open) => open.list(name));
}

/** Re-reads every byte of it here. */
export async function expectWhole({ repository, name }: TestGrid, checkpoint: string): Promise<void> {
  const damage = await withRepository(repository, (open) => open.verify(name, checkpoint, () => undefined));
  expect(damage, checkpoint).to.deep.equal([]);
}

async function withRepository<T>(location: string, work: (repository: Repository) => Promise<T>): Promise<T> {
  const repository = await openRepository(location, {});
  try {
    return await work(repository);
  } finally {
    await repository.close();
  }
}

/** Re-reads every byte by the command. */
async function expectVerified(grid: TestGrid, checkpoint: string): Promise<void> {
  const { code, stderr } = await grid.run(['checkpoint', 'verify', checkpoint, '--quiet']);
  expect(code, `verify ${checkpoint}: ${stderr}`).to.equal(0);
}

/**
 * What the command said in the end is what the repository has: 0 and the checkpoint is there, valid, and verifies; 4
 * or 6 and it is not; killed, and it is there if its commit object was durable. `before`: ids listed before it began.
 */
export async function expectTruth(
  cell: Cell,
  grid: TestGrid,
  { code, stdout, stderr }: Finished,
  before: ReadonlySet<string>,
): Promise<Ending> {
  const said = `exit ${code ?? 'by signal'}: ${stdout}${stderr}`;
  const valid = (await listed(grid)).filter(
    ({ checkpoint, state }) => state === 'valid' && !before.has(checkpoint),
  );
  const ids = valid.map(({ checkpoint }) => checkpoint);
  for (const id of ids) {
    await expectVerified(grid, id);
    await expectAttempt(cell, grid, id);
  }
  if (cell.process === 'coordinator' && cell.fault === 'kill') {
    expect(code, said).to.equal(null);
    expect(ids, said).to.have.length(isCommittedAt(cell.event) ? 1 : 0);
    return isCommittedAt(cell.event) ? 'killed, committed' : 'killed, nothing';
  }
  if (mustNotCommit(cell)) expect(code, said).not.to.equal(0);
  if (code === 0) {
    expect(ids, said).to.deep.equal([(JSON.parse(stdout) as CheckpointReport).checkpoint]);
    return 'committed';
  }
  // Not 5: when the command ended, nobody was frozen and nobody was out of reach.
  expect(code, said).to.be.oneOf([4, 6]);
  expect(ids, said).to.deep.equal([]);
  expectStates(cell, said, (JSON.parse(stdout) as { error: Failure }).error);
  return code === 4 ? 'aborted' : 'invalid';
}

async function expectAttempt(cell: Cell, grid: TestGrid, id: string): Promise<void> {
  if (!needsNewAttempt(cell)) return;
  const { json } = await grid.run(['checkpoint', 'describe', id, '--output', 'json']);
  expect(json, 'the attempt whose lease ran out').to.have.nested.property('token.attempt').that.is.above(1);
}

/** An abort names its first failure, and says of every member that it runs, or that it is down where it is. */
function expectStates(
  { process, fault }: Cell,
  said: string,
  { code, message, members = [] }: Failure,
): void {
  expect(code, said).to.match(/^[a-z-]+$/);
  expect(message, said).not.to.equal('');
  expect(members, said).not.to.have.length(0);
  const down = process === 'engine' && fault === 'kill' ? 1 : 0;
  expect(
    members.filter(({ state }) => state === 'stopped'),
    said,
  ).to.have.length(down);
  expect(
    members.filter(({ state }) => state === 'running'),
    said,
  ).to.have.length(members.length - down);
}
