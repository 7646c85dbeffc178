import { hostname } from 'node:os';
import { EXIT, failureOf, StillpointError } from '../shared/domain/errors.ts';
import type { CatalogueEntry, Repository } from '../shared/repository/repository.ts';
import { stampedHolds } from '../shared/domain/judge-set.ts';
import { type AgentConnection, throwRefused } from './agents.ts';
import type { Cancellation } from './cancellation.ts';
import type { GridFile } from './grid-file.ts';
import { checkReadable } from './damaged-entries.ts';
import { entriesOfLineage, lineageToPrune } from './lineage.ts';
import { checkBelonging } from './preflight.ts';
import type { ProgressView } from './progress.ts';
import { goesByTimes, type KeepRule } from './keep-rule.ts';
import {
  agesFrom,
  planHolds,
  planPrune,
  type HoldsPlan,
  type LocalCopies,
  type PrunePlan,
} from './prune-plan.ts';
import { checkTimes } from './prune-times.ts';
import type { PruneReport } from './reports.ts';
import { isHold } from './sets/holds.ts';
import { type GridAgents, withAgents, withRepositoryLease } from './with-grid.ts';

export interface PruneInput {
  readonly repository: Repository;
  /** Of one grid, with what held it and copied nothing. */
  readonly entries: readonly CatalogueEntry[];
  /** Whose hosts lose their copies too; null: the repository alone. */
  readonly gridFile: GridFile | null;
  /** Whether what aborted runs have stored goes too. Not set: no. */
  readonly leftovers?: boolean;
  readonly rule: KeepRule;
  /** The lineage that is meant, by its beginning; null: that of the hosts, or the only one. */
  readonly lineage: string | null;
  /** The times of the checkpoints are right, whatever they look like. */
  readonly acceptTimes: boolean;
  readonly dryRun: boolean;
  /** Rejects where the plan is not to be carried out. Not called where there is nothing to do. */
  readonly confirm: (plan: PrunePlan & { readonly holds: HoldsPlan }) => Promise<void>;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
}

/**
 * Deletes what a rule does not keep: copies on hosts first, then the checkpoints, oldest first. Cut short, it
 * has deleted some of them whole; run again, it does the rest.
 */
export async function pruneCheckpoints(input: PruneInput): Promise<PruneReport> {
  const { gridFile, cancellation } = input;
  if (gridFile === null) return prune(input, null, []);
  return withAgents(gridFile, cancellation.signal, async (agents) =>
    prune(input, agents, await lookAt(input.repository, gridFile.grid, agents)),
  );
}

interface Agent extends LocalCopies {
  readonly connection: AgentConnection;
  readonly lineage: string | null;
}

async function lookAt(repository: Repository, grid: string, agents: GridAgents): Promise<Agent[]> {
  const hosts = await agents.describe().catch(throwRefused);
  checkBelonging({ grid, hosts, repositoryId: repository.id });
  return hosts.map(({ connection, host }) => ({
    connection,
    host: host.host,
    lineage: host.lineage,
    checkpoints: host.members.flatMap(({ localCheckpoints }) => localCheckpoints),
  }));
}

/** Without a grid file, agents and hosts are not asked. */
async function prune(
  input: PruneInput,
  agents: GridAgents | null,
  hosts: readonly Agent[],
): Promise<PruneReport> {
  const { repository, leftovers = false, cancellation } = input;
  const { plan, busy } = await planFor(input, agents === null ? null : hosts);
  const going = [...plan.deleted, ...plan.holds.deleted];
  if (input.dryRun || (!leftovers && going.length === 0 && plan.local.length === 0)) {
    // Also where nothing is to be deleted: what keeps the garbage of all others is said.
    for (const entry of input.dryRun ? [] : input.entries) checkReadable(entry);
    return { ...plan, busy, removedBytes: 0 };
  }
  await input.confirm(plan);
  cancellation.signal.throwIfAborted();
  // A checkpoint that is being made or restored is left alone.
  await agents?.claim('checkpoint').catch(throwRefused);
  await dropLocal(plan, hosts);
  const { removedBytes, stayed } = await deleteAll(input, going);
  const isGone = (checkpoint: string): boolean => !stayed.includes(checkpoint);
  const grid = input.entries[0]?.grid;
  const readers = stayed.length === 0 || grid === undefined ? [] : await repository.readers(grid);
  return {
    ...plan,
    deleted: plan.deleted.filter(isGone),
    holds: { ...plan.holds, deleted: plan.holds.deleted.filter(isGone) },
    busy: [...busy, ...readers.filter(({ checkpoint }) => stayed.includes(checkpoint))],
    removedBytes,
  };
}

/** Of the one lineage that is meant. Local copies of what another lineage has in the repository are not counted. */
async function planFor(
  input: PruneInput,
  agents: readonly Agent[] | null,
): Promise<{ plan: PrunePlan & { readonly holds: HoldsPlan }; busy: PruneReport['busy'] }> {
  const { repository, entries, rule } = input;
  const lineage = lineageToPrune({ hosts: agents, entries, named: input.lineage });
  const ofLineage = entriesOfLineage(entries, lineage);
  const held = ofLineage.filter(({ manifest }) => manifest !== null && isHold(manifest));
  const own = ofLineage.filter((entry) => !held.includes(entry));
  const others = new Set(
    entries.filter((entry) => !ofLineage.includes(entry)).map(({ checkpoint }) => checkpoint),
  );
  const valid = own.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint);
  const grid = entries[0]?.grid;
  const readers = grid === undefined ? [] : await repository.readers(grid);
  const local = (agents ?? []).map(({ host, checkpoints }) => ({
    host,
    checkpoints: checkpoints.filter((checkpoint) => !others.has(checkpoint)),
  }));
  const holds = held.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint);
  const retained = grid === undefined ? [] : (await repository.retained(grid)).map((one) => one.checkpoint);
  if (goesByTimes(rule) && !input.acceptTimes) {
    const now = await repository.now();
    // What is kept for good lies as far from the others as it likes.
    const counted = (one: string, index: number): boolean => index === 0 || !retained.includes(one);
    for (const checkpoints of [agesFrom(valid, local), holds])
      checkTimes(checkpoints.filter(counted), now, rule);
  }
  const read = readers.map(({ checkpoint }) => checkpoint);
  const asked = { entries: own, local, rule, retained };
  const plan = {
    ...planPrune({ ...asked, read }),
    holds: planHolds(holds, rule, await neededHolds(repository, holds, grid), retained),
  };
  const unread = planPrune({ ...asked, read: [] });
  return { plan, busy: readers.filter(({ checkpoint }) => unread.deleted.includes(checkpoint)) };
}

/** By hold: the sets with backups that were made under it. What a set needs that cannot be read is not known: all. */
async function neededHolds(
  repository: Repository,
  holds: readonly string[],
  grid: string | undefined,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const sets = holds.length === 0 ? [] : await repository.sets(grid);
  const needed = new Map<string, string[]>();
  for (const { name, set, state } of sets) {
    if (state === 'deleting') continue;
    for (const hold of set === null ? holds : stampedHolds(set))
      needed.set(hold, [...(needed.get(hold) ?? []), name]);
  }
  return needed;
}

async function dropLocal(plan: PrunePlan, agents: readonly Agent[]): Promise<void> {
  const dropped = await Promise.allSettled(
    agents.map(async ({ connection, host }) => {
      const copies = plan.local.filter((local) => local.host === host);
      if (copies.length > 0) await connection.dropLocal(copies.flatMap(({ checkpoints }) => checkpoints));
    }),
  );
  const failed = dropped.find((result) => result.status === 'rejected');
  if (failed === undefined) return;
  const failure = failureOf(failed.reason, { code: 'agent-failed', hint: "see the agent's log" });
  const hint = `${failure.hint}; nothing was deleted in the repository: then run it again`;
  throw new StillpointError({ ...failure, hint }, EXIT.aborted, { cause: failed.reason });
}

/** An operation of our own keeps garbage collection off until the end: then it looks through the chunks once. */
async function deleteAll(
  { repository, entries, gridFile, leftovers = false, cancellation, progress }: PruneInput,
  checkpoints: readonly string[],
): Promise<{ removedBytes: number; stayed: readonly string[] }> {
  const grid = entries[0]?.grid ?? gridFile?.grid;
  const stayed: string[] = [];
  if (grid === undefined || (checkpoints.length === 0 && !leftovers)) return { removedBytes: 0, stayed };
  const holder = `prune ${hostname()} pid ${process.pid}`;
  await withRepositoryLease(repository, { grid, id: crypto.randomUUID(), holder }, async (lease) => {
    for (const checkpoint of checkpoints) {
      cancellation.signal.throwIfAborted();
      progress.phase(null, 'delete', checkpoint);
      await repository.deleteCheckpoint(grid, checkpoint).catch((error: unknown) => {
        if (!mustStay(error)) throw error;
        stayed.push(checkpoint);
      });
    }
    if (leftovers) await repository.dropLeftovers(grid);
    // Where it stays, the collection below would wait for us, and say that nothing was to be had.
    await lease.end();
  });
  progress.phase(null, 'collect garbage');
  return { removedBytes: (await repository.collectGarbage(grid)).removedBytes, stayed };
}

/** Somebody began to read it meanwhile, or has said that it is kept for good. */
function mustStay(error: unknown): boolean {
  return (
    error instanceof StillpointError && ['repository-busy', 'checkpoint-held'].includes(error.failure.code)
  );
}
