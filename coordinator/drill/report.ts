import * as z from 'zod';
import type { ExitCode, Failure } from '../../shared/domain/errors.ts';
import type { StoredDrill } from '../../shared/repository/repository.ts';
import type { AddressReport } from '../reports.ts';
import type { CheckResult } from './checks.ts';

const EARLIER = 5;

/** What a drill found out. Times in ms since its start, sizes in bytes. */
export interface DrillReport {
  readonly format: 1;
  readonly drill: string;
  readonly grid: string;
  readonly checkpoint: string;
  readonly startedAt: string;
  /** `passed`: a person could have gone live on it. `refused`: nothing was touched. */
  readonly outcome: 'passed' | 'failed' | 'refused';
  readonly exitCode: ExitCode;
  /** Its members stand as they are, undecided, until the drill is finished. */
  readonly kept: boolean;
  /** From the command to the end of the last check; null where it did not come so far. */
  readonly rtoMs: number | null;
  /** How old the checkpoint was when the drill began: what would be lost now. */
  readonly rpoMs: number;
  readonly durationMs: number;
  readonly bytes: number;
  /** Of the time in which members were staged; null where none were. */
  readonly bytesPerSecond: number | null;
  readonly phases: readonly {
    readonly phase: string;
    readonly startMs: number;
    readonly durationMs: number;
  }[];
  readonly hosts: readonly {
    readonly host: string;
    readonly steps: readonly DrillStep[];
  }[];
  readonly members: readonly {
    readonly name: string;
    readonly host: string;
    readonly from: string;
    readonly to: string;
    readonly bytes: number;
    readonly bytesPerSecond: number | null;
    /** What was looked at, in the words of its agent. */
    readonly proven: readonly string[];
  }[];
  /** What in the data led to other servers, where it was to be changed. */
  readonly addresses: readonly AddressReport[];
  readonly checks: readonly CheckResult[];
  /** What would have been in the way in earnest, the failure first. */
  readonly obstacles: readonly {
    readonly code: string;
    readonly about: string | null;
    readonly text: string;
    readonly hint: string;
  }[];
  /** What a drill leaves to the earnest. */
  readonly notProven: readonly string[];
  /** Members of which something may be left on their hosts. */
  readonly left: readonly { readonly name: string; readonly state: string }[];
  /** The last drills of this grid, newest first. */
  readonly earlier: readonly EarlierDrill[];
  readonly error?: Failure;
}

export interface DrillStep {
  readonly member: string;
  readonly step: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

const earlierSchema = z.object({
  format: z.literal(1),
  drill: z.string(),
  startedAt: z.iso.datetime(),
  checkpoint: z.string(),
  outcome: z.enum(['passed', 'failed', 'refused']),
  kept: z.boolean(),
  rtoMs: z.number().nullable(),
  rpoMs: z.number(),
  bytes: z.number(),
  phases: z.array(z.object({ phase: z.string(), startMs: z.number(), durationMs: z.number() })).readonly(),
});

export type EarlierDrill = Readonly<z.infer<typeof earlierSchema>>;

/** Of what the repository keeps, the last drills, newest first; what cannot be one is left out. */
export function lastDrills(stored: readonly StoredDrill[], most = EARLIER): EarlierDrill[] {
  return stored
    .flatMap(({ drillId, report }) => {
      const drill = parsed(report);
      return drill?.drill === drillId ? [drill] : [];
    })
    .sort((one, other) => Date.parse(other.startedAt) - Date.parse(one.startedAt))
    .slice(0, most);
}

function parsed(report: string): EarlierDrill | null {
  try {
    return earlierSchema.parse(JSON.parse(report));
  } catch {
    return null;
  }
}

function lastPassed({ earlier }: Pick<DrillReport, 'earlier'>): EarlierDrill | undefined {
  return earlier.find(({ rtoMs, outcome }) => rtoMs !== null && outcome === 'passed');
}

/** How long a phase took in the last drill that passed; empty where none did, or it had no such phase. */
export function lastTime(report: Pick<DrillReport, 'earlier'>, phase: string): string {
  const times = (lastPassed(report)?.phases ?? []).filter((one) => one.phase === phase);
  return times.length === 0 ? '' : duration(times.reduce((sum, { durationMs }) => sum + durationMs, 0));
}

/** How much longer, in words; null where there is nothing to hold it against: the last drill that passed. */
export function comparedWithLast(report: Pick<DrillReport, 'rtoMs' | 'earlier'>): string | null {
  const last = lastPassed(report);
  if (last?.rtoMs === undefined || last.rtoMs === null || report.rtoMs === null) return null;
  const percent = Math.round((report.rtoMs / Math.max(last.rtoMs, 1) - 1) * 100);
  const change =
    percent === 0 ? 'as long as' : `${Math.abs(percent)}% ${percent > 0 ? 'longer' : 'shorter'} than`;
  return `${change} the last drill that passed (${last.startedAt})`;
}

/** For people: `1.4 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(Math.max(ms, 0) / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const units = [
    [86_400, 'd', 3600, 'h'],
    [3600, 'h', 60, 'min'],
    [60, 'min', 1, 's'],
  ] as const;
  const [large, largeName, small, smallName] = units.find(([size]) => seconds >= size) ?? units[2];
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeName}${rest === 0 ? '' : ` ${rest} ${smallName}`}`;
}
