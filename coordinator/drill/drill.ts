import { EXIT, failureOf, StillpointError, type ExitCode, type Failure } from '../../shared/domain/errors.ts';
import { parseCheckpointId } from '../../shared/domain/checkpoint-id.ts';
import type { CatalogueEntry, Repository } from '../../shared/repository/repository.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Reach } from '../../shared/runtime/moments.ts';
import type { Cancellation } from '../cancellation.ts';
import { notValid } from '../checkpoint-selector.ts';
import type { GridFile } from '../grid-file.ts';
import type { ProgressView } from '../progress.ts';
import type { RestoreDemands } from '../restore-findings.ts';
import { restoreGrid } from '../restore.ts';
import { DrillMeasures } from './measures.ts';
import { DrillRehearsal } from './rehearsal.ts';
import { lastDrills, type DrillReport } from './report.ts';

interface DrillInput {
  readonly gridFile: GridFile;
  readonly repository: Repository;
  readonly entry: CatalogueEntry;
  readonly maps: ReadonlyMap<string, string>;
  readonly keep: boolean;
  readonly demands: RestoreDemands;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  readonly reach: Reach;
}

/**
 * Restores a checkpoint onto hosts where nothing is, all the way to the decision; has it proven, makes the operator's
 * checks, and takes everything away again. Resolves to the report, however it went, when that is in the repository.
 */
export async function drillGrid(input: DrillInput): Promise<DrillReport> {
  const { gridFile, repository, entry, keep } = input;
  const startedAt = Date.now();
  const measures = new DrillMeasures();
  const rehearsal = new DrillRehearsal({
    keep,
    checks: gridFile.drill?.checks ?? [],
    manifest: entry,
    measures,
  });
  const error = await restoreForDrill(input, rehearsal, measures).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  measures.end();
  const report: DrillReport = {
    ...reportOf(input, rehearsal, measures, { startedAt, error }),
    earlier: lastDrills(await repository.drills(entry.grid).catch(() => [])),
  };
  try {
    const { earlier: _, ...kept } = report;
    await repository.saveDrill(entry.grid, report.drill, JSON.stringify(kept));
    return report;
  } catch (unsaved) {
    const { message } = failureOf(unsaved, { code: '', hint: '' });
    const obstacle = {
      code: 'drill-report-unsaved',
      about: null,
      text: `the report could not be kept in the repository: ${message}`,
      hint: 'the next drill is compared without it',
    };
    return { ...report, obstacles: [...report.obstacles, obstacle] };
  }
}

async function restoreForDrill(
  input: DrillInput,
  rehearsal: DrillRehearsal,
  measures: DrillMeasures,
): Promise<void> {
  const { gridFile, repository, entry, maps, demands, cancellation, progress, log, reach } = input;
  if (entry.state !== 'valid' || entry.manifest === null) throw notValid(entry);
  await restoreGrid({
    gridFile,
    repositoryLocation: repository.location,
    manifest: entry.manifest,
    maps,
    demands,
    stop: false,
    dryRun: false,
    cancellation,
    progress: measures.watching(progress),
    log,
    reach,
    rehearsal,
  });
}

function reportOf(
  { entry, keep }: DrillInput,
  rehearsal: DrillRehearsal,
  measures: DrillMeasures,
  { startedAt, error }: { startedAt: number; error: unknown },
): Omit<DrillReport, 'earlier'> {
  const failure =
    error === null
      ? null
      : failureOf(error, { code: 'internal', hint: 'see what the agents say: their logs' });
  const exitCode = error === null ? EXIT.done : exitCodeOf(error);
  const { members } = rehearsal;
  const { bytes, bytesPerSecond } = measures.staged(null);
  return {
    format: 1,
    drill: rehearsal.drillId,
    grid: entry.grid,
    checkpoint: entry.checkpoint,
    startedAt: new Date(startedAt).toISOString(),
    outcome: exitCode === EXIT.done ? 'passed' : exitCode === EXIT.refused ? 'refused' : 'failed',
    exitCode,
    kept: keep && error === null,
    rtoMs: error === null ? measures.endOf('check') : null,
    rpoMs: Math.max(0, startedAt - (momentOf(entry) ?? startedAt)),
    durationMs: measures.nowMs(),
    bytes,
    bytesPerSecond,
    phases: measures.phases,
    hosts: measures.hosts(members.map(({ to }) => to.host)),
    members: members.map(({ name, from, to }) => ({
      name,
      host: to.host,
      from: from.address,
      to: to.address,
      ...measures.staged(name),
      proven: measures.proven(name),
    })),
    addresses: rehearsal.addresses,
    checks: rehearsal.results,
    obstacles: [
      ...(failure === null ? [] : [obstacleOf(failure)]),
      ...rehearsal.warnings.map(({ code, about, text, hint }) => ({ code, about, text, hint })),
    ],
    notProven: notProven(rehearsal),
    left: (failure?.members ?? []).filter(({ state }) => exitCode !== EXIT.refused && state !== 'stopped'),
    ...(failure !== null && { error: failure }),
  };
}

/** What says that the checkpoint, or what became of it, does not hold. */
const UNTRUE = new Set([
  'restore-not-verified',
  'recovery-failed',
  'drill-check-failed',
  'restore-doubtful',
  'chunk-damaged',
  'manifest-damaged',
]);

/** A person who had gone live would have found it out there: that is more than a roll-back. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof StillpointError)) return EXIT.usage;
  const { exitCode, failure } = error;
  return exitCode === EXIT.rolledBack && UNTRUE.has(failure.code) ? EXIT.invalid : exitCode;
}

function obstacleOf({ code, member, host, message, hint }: Failure): DrillReport['obstacles'][number] {
  return { code, about: member ?? host ?? null, text: message, hint };
}

function notProven({ neverStarted, results, members }: DrillRehearsal): string[] {
  if (members.length === 0) return ['anything: the drill did not come so far'];
  return [
    ...(neverStarted.length === 0
      ? []
      : [
          `the start of ${neverStarted.map(({ name }) => name).join(', ')} as the owner starts them, with the owner's configuration`,
        ]),
    'that clients find the new addresses',
    ...(results.length === 0 ? ['what your applications need: no check of your own was made'] : []),
  ];
}

/** Of what was imported, when its archive was written, as far as that is known. */
function momentOf({ checkpoint, manifest }: CatalogueEntry): number | undefined {
  const writtenAt = Date.parse(manifest?.imported?.writtenAt ?? '');
  return Number.isNaN(writtenAt) ? parseCheckpointId(checkpoint)?.at.getTime() : writtenAt;
}
