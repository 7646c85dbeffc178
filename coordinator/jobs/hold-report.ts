import type { EngineName, JournalMap } from '../../shared/domain/grid.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import { PURPOSE_WORDS, type HoldPurpose } from '../../shared/domain/purpose.ts';
import type { Held } from '../../shared/protocol/coordinator-machine.ts';
import { journalMapOf } from '../checkpoint-report.ts';
import { inMegabytes } from '../megabytes.ts';
import { table } from '../output.ts';
import type { HeldSetReport } from '../sets/set-reports.ts';
import type { HoldPreflight } from './hold-preflight.ts';

/** What is known while the grid is held, for whoever copies it: `--info` has it. */
export interface HeldGrid {
  /** The token of the job: who has it may let go. */
  readonly job: string;
  readonly purpose: HoldPurpose;
  readonly checkpoint: string;
  readonly grid: string;
  readonly epoch: number;
  readonly number: number;
  /** ISO 8601 UTC. For people. */
  readonly heldSince: string;
  readonly journalMap: JournalMap;
  readonly members: readonly {
    readonly name: string;
    readonly host: string;
    readonly engine: EngineName;
    readonly address: string;
    readonly state: 'quiesced' | 'frozen';
    readonly mark: string | null;
  }[];
}

/** What such a command prints with `--output json`. Times in ms. */
export interface HoldReport extends Omit<HeldGrid, 'members' | 'heldSince'> {
  /** The members run again, and held until they were let go. */
  readonly state: 'resumed';
  /** How long clients were held: of a quiesce all the while, else for the mark. */
  readonly windowMs: number;
  /** How long there was to copy. Absent where nothing was to be. */
  readonly heldMs?: number;
  readonly durationMs: number;
  readonly members: readonly (Omit<HeldGrid['members'][number], 'state'> & { readonly state: 'resumed' })[];
  readonly absent: readonly string[];
  readonly warnings: readonly string[];
  /** The operator's own program that ran meanwhile. */
  readonly command?: { readonly exitCode: number };
  /** The backup set of what was copied meanwhile. */
  readonly set?: HeldSetReport;
}

export function heldGrid(input: {
  readonly job: string;
  readonly purpose: HoldPurpose;
  readonly checkpoint: string;
  readonly grid: string;
  readonly held: Held;
  readonly preflight: Pick<HoldPreflight, 'members'>;
}): HeldGrid {
  const { job, purpose, checkpoint, grid, held, preflight } = input;
  const marks = new Map(held.marks.map(({ name, mark }) => [name, mark]));
  const members = preflight.members.map(({ host, description }) => ({
    ...description,
    host,
    mark: marks.get(description.name) ?? null,
  }));
  return {
    job,
    purpose,
    checkpoint,
    grid,
    epoch: held.token.epoch,
    number: held.token.counter,
    heldSince: new Date().toISOString(),
    journalMap: journalMapOf(members),
    members: members.map(({ name, host, engine, address, mark }) => ({
      name,
      host,
      engine,
      address,
      state: purpose === 'quiesce' ? 'quiesced' : 'frozen',
      mark: mark?.position ?? null,
    })),
  };
}

export function holdReport(
  manifest: GridManifest,
  of: { readonly job: string; readonly purpose: HoldPurpose; readonly heldMs: number | null },
): HoldReport {
  const { job, purpose, heldMs } = of;
  const { checkpoint, grid, epoch, counter, journalMap, windowMs, durationMs } = manifest;
  return {
    job,
    purpose,
    checkpoint,
    grid,
    epoch,
    number: counter,
    state: 'resumed',
    journalMap,
    windowMs: rounded(windowMs),
    ...(heldMs !== null && { heldMs: Math.round(heldMs) }),
    durationMs: Math.round(durationMs),
    members: manifest.members.map(({ name, host, engine, address, mark }) => ({
      name,
      host,
      engine,
      address,
      state: 'resumed',
      mark: mark?.position ?? null,
    })),
    absent: manifest.absent,
    warnings: manifest.warnings,
  };
}

/** While it is held. `ends`: what ends it. */
export function heldInWords(held: HeldGrid, ends: string): string {
  const { purpose, job, checkpoint, number } = held;
  return [
    `${purpose === 'quiesce' ? 'quiesced' : 'frozen'}: all members of grid ${held.grid} are held by job ${job}`,
    `  ${checkpoint}, checkpoint number ${number}`,
    ...journalsInWords(held),
    `  ${ends}`,
  ].join('\n');
}

export function reportInWords(report: HoldReport): string {
  const { purpose, checkpoint, number, windowMs, heldMs, command } = report;
  const held = heldMs === undefined ? '' : `; held for ${(heldMs / 1000).toFixed(1)} s`;
  const ended = command === undefined ? '' : `; the command ended with ${command.exitCode}`;
  return [
    `${PURPOSE_WORDS[purpose]} ${checkpoint}: checkpoint number ${number}`,
    `  resumed${held}; clients waited for ${purpose === 'quiesce' ? 'all of it' : `${windowMs} ms`}${ended}`,
    ...journalsInWords(report),
    ...report.absent.map((member) => `  absent: ${member} was down`),
    ...report.warnings.map((warning) => `  warning: ${warning}`),
    ...(report.set === undefined ? [] : setInWords(report.set, checkpoint)),
  ].join('\n');
}

function setInWords({ set, images, problems }: HeldSetReport, checkpoint: string): string[] {
  if (problems.length > 0)
    return problems.map(({ message, hint }) => `  problem: ${message}\n    hint: ${hint}`);
  const sizeBytes = images.reduce((sum, image) => sum + image.sizeBytes, 0);
  return [
    `  set ${set}: ${images.length} images, ${inMegabytes(sizeBytes)}; stillpoint restore ${checkpoint} --set ${set}`,
  ];
}

function journalsInWords({ journalMap }: Pick<HeldGrid, 'journalMap'>): string[] {
  const rows = Object.entries(journalMap).map(([address, file]) => [`  ${address}`, file]);
  return rows.length === 0 ? [] : [table([['  DATA SERVER', 'JOURNAL ENDS WITH'], ...rows])];
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
