import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { ParticipantHolds } from '../../shared/domain/participant.ts';
import { connectParticipant } from '../../shared/rpc/participant-client.ts';
import type { GridProcess } from '../reference-grid/grid-process.ts';
import { until, type Finished } from './processes.ts';
import type { ReferenceLab } from './reference-lab.ts';

/** What has to be true of a reference grid after whatever happened to a checkpoint of it. */

const FREE: ParticipantHolds = {
  operation: '',
  quiesced: false,
  writingSuspended: false,
  journalRetained: false,
  maintenance: false,
  updatesWait: false,
};
/** Enough for a fail-over; the freeze itself must be over long before. */
const WRITE_MS = 8000;

/** Nothing is held, every copyset takes writes, and no agent has anything on its list. */
export async function expectUntouched(lab: ReferenceLab, withinMs = 8000): Promise<void> {
  await expectFree(lab, withinMs);
  await expectWrites(lab);
  await lab.grid.expectUntouched();
}

/** No process that runs holds anything for anyone. */
export async function expectFree(lab: ReferenceLab, withinMs = 8000): Promise<void> {
  const running = lab.reference.processes.filter((process) => process.running);
  await Promise.all(
    running.map((process) =>
      until(
        `${process.name} to hold nothing`,
        async () => JSON.stringify(await heldBy(process)) === JSON.stringify(FREE),
        withinMs,
      ),
    ),
  );
}

export async function heldBy({ participant }: GridProcess): Promise<ParticipantHolds> {
  const link = await connectParticipant({ target: participant, timeoutMs: 5000 });
  try {
    const { held } = await link.describe();
    const { operation, quiesced, writingSuspended, journalRetained, maintenance, updatesWait } = held;
    return { operation, quiesced, writingSuspended, journalRetained, maintenance, updatesWait };
  } finally {
    link.close();
  }
}

/** A write to every copyset is acknowledged. */
export async function expectWrites(lab: ReferenceLab, patienceMs = WRITE_MS): Promise<void> {
  const client = lab.reference.client(patienceMs);
  try {
    await Promise.all(
      lab.reference.definition.copysets.map(({ name }) => client.put('checks', 'written', 'x', name)),
    );
  } finally {
    client.close();
  }
}

/**
 * The next checkpoint is committed, at once or, right after a process came or went, when the error that says so
 * was heeded: "create the checkpoint again". After it nothing lies on a node that is not of a whole checkpoint.
 */
export async function expectNextCheckpoint(
  lab: ReferenceLab,
  absent: readonly string[] = [],
): Promise<CheckpointReport> {
  const create = (): Promise<Finished> =>
    lab.grid.run(['checkpoint', 'create', 'next', '--output', 'json', '--quiet']);
  let finished = await create();
  for (let tries = 1; tries < 4 && isUnsettled(finished); tries += 1) finished = await create();
  const { code, stdout, stderr } = finished;
  expect(code, stdout + stderr).to.equal(0);
  const report = JSON.parse(stdout) as CheckpointReport;
  expect(report.absent).to.deep.equal(absent);
  expect(committedIds(lab)).to.include(report.checkpoint);
  expectWholeCopies(lab);
  return report;
}

/** Aborted because the state of the grid's processes changed while it was taken. */
export function isUnsettled({ code, stdout }: Finished): boolean {
  return code === 4 && /"code":"(state|role)-changed"/.test(stdout);
}

/** Nothing lies on a node that is not of a whole checkpoint. */
export function expectWholeCopies(lab: ReferenceLab): void {
  const committed = new Set(committedIds(lab));
  for (const process of lab.reference.processes.filter((one) => one.running)) {
    for (const id of localCheckpoints(process)) {
      expect(committed.has(id), `${id} on ${process.name} is a committed checkpoint`).to.equal(true);
      expect(readdirSync(join(process.dataDirectory, 'checkpoints', id)), process.name).to.include(
        'grid.json',
      );
    }
  }
}

/** Everything that is listed is committed and valid. */
export async function expectValidList(lab: ReferenceLab): Promise<string[]> {
  const { json } = await lab.grid.run(['checkpoint', 'list', '--output', 'json']);
  const { checkpoints } = json as { checkpoints: { checkpoint: string; state: string }[] };
  for (const { checkpoint, state } of checkpoints) expect(state, checkpoint).to.equal('valid');
  const ids = checkpoints.map(({ checkpoint }) => checkpoint);
  expect(ids).to.have.members(committedIds(lab));
  return ids;
}

/** Those with a commit object in the repository. */
export function committedIds(lab: ReferenceLab): string[] {
  const room = join(lab.grid.repository, 'grids/orders/checkpoints');
  if (!existsSync(room)) return [];
  return readdirSync(room).filter((id) => existsSync(join(room, id, 'grid.json')));
}

/** What lies in a node's `checkpoints/`, whole or not. */
function localCheckpoints({ dataDirectory }: GridProcess): string[] {
  const room = join(dataDirectory, 'checkpoints');
  return existsSync(room) ? readdirSync(room) : [];
}
