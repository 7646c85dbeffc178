import { readFileSync } from 'node:fs';
import { commandOf, whyNot, type Cell, type GridKind } from './cells.ts';
import type { Ending } from './ending.ts';
import { postgresSubject } from './postgres-subject.ts';
import { referenceSubject } from './reference-subject.ts';
import { expectCausalOrder } from './restored.ts';
import { runCell, type History } from './run-cell.ts';
import type { Subject } from './subject.ts';

export type CellResult =
  | { readonly type: 'kept'; readonly cell: Cell; readonly ending: Ending; readonly tookMs: number }
  | { readonly type: 'broken'; readonly cell: Cell; readonly cause: string; readonly tookMs: number }
  | { readonly type: 'senseless'; readonly cell: Cell; readonly cause: string };

/** What became of the last valid checkpoint of a grid; a cause where it could not be restored as clients saw it. */
export interface RestoreResult {
  readonly grid: GridKind;
  readonly checkpoint: string;
  readonly rows: number;
  readonly cause: string | null;
}

const LINES_OF_LOG = 12;
const LONGEST_LINE = 600;
const open = new Set<Subject>();
let isClosing = false;

/** Ends the labs of all runs under way, which then fail: for a program that is interrupted. */
export async function closeLabs(): Promise<void> {
  isClosing = true;
  await Promise.all([...open].map((subject) => subject.close()));
}

const SUBJECTS = { postgres: postgresSubject, reference: referenceSubject } as const;

/**
 * Runs cells of one grid, one after another on one running lab, and restores the last valid checkpoint in the end. A
 * cell that breaks a promise gets the next one a new lab. `told` is called with each result as it comes. Rejects only
 * when a lab cannot be made.
 */
export async function runMatrix(
  kind: GridKind,
  cells: readonly Cell[],
  told: (result: CellResult) => void,
  options: { readonly restore: boolean } = { restore: true },
): Promise<RestoreResult | null> {
  let subject: Subject | null = null;
  let history = emptyHistory();
  try {
    for (const cell of cells) {
      const reason = whyNot(cell);
      if (reason !== null) {
        told({ type: 'senseless', cell, cause: reason });
        continue;
      }
      subject ??= await wellSubject(kind);
      const beganAt = performance.now();
      const tookMs = (): number => performance.now() - beganAt;
      try {
        const ending = await runCell(cell, subject, history);
        told({ type: 'kept', cell, ending, tookMs: tookMs() });
      } catch (error) {
        const cause = `${causesOf(error)}${logsOf(subject)}`;
        told({ type: 'broken', cell, cause, tookMs: tookMs() });
        const unfit = subject;
        subject = null;
        history = emptyHistory();
        await closed(unfit);
      }
    }
    if (!options.restore || subject === null || history.last === null) return null;
    return await restoreLast(subject, history, history.last);
  } finally {
    if (subject !== null) await closed(subject);
  }
}

/** A new lab with one checkpoint, which is spared by whatever happens to the next. */
async function wellSubject(kind: GridKind): Promise<Subject> {
  if (isClosing) throw new Error('interrupted');
  const subject = await SUBJECTS[kind]();
  open.add(subject);
  try {
    await subject.expectNextCheckpoint();
    return subject;
  } catch (error) {
    const logs = logsOf(subject);
    await closed(subject);
    throw new Error(`a lab was not fit for any cell${logs}`, { cause: error });
  }
}

/** What agents and guards warned of lately: the lab is gone when somebody reads it. */
function logsOf({ grid }: Subject): string {
  return grid.hosts
    .flatMap(({ address, log }) => {
      const lines = readFileSync(log, 'utf8').split('\n');
      const warned = lines.filter((line) => !line.startsWith('{') || !/"level":(?:"info"|30)/.test(line));
      return warned.slice(-LINES_OF_LOG).map((line) => `\n  ${address}: ${line.slice(0, LONGEST_LINE)}`);
    })
    .join('');
}

async function closed(subject: Subject): Promise<void> {
  open.delete(subject);
  await subject.close();
}

/** What a person needs to see a broken cell again. */
export function tellBroken({ cell, cause }: Extract<CellResult, { type: 'broken' }>): string {
  return `${cell.grid}, ${cell.event}, ${cell.process}, ${cell.fault}: ${cause}\nagain: ${commandOf(cell)}`;
}

function emptyHistory(): History {
  return { writes: [], clients: 0, last: null };
}

async function restoreLast(
  subject: Subject,
  { writes }: History,
  { checkpoint, beganAt }: NonNullable<History['last']>,
): Promise<RestoreResult> {
  const result = { grid: subject.kind, checkpoint };
  try {
    const restored = await subject.restored(checkpoint);
    try {
      return { ...result, rows: await expectCausalOrder(restored, writes, beganAt), cause: null };
    } finally {
      await restored.close();
    }
  } catch (error) {
    return { ...result, rows: 0, cause: causesOf(error) };
  }
}

function causesOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = error.stack?.split('\n').find((line) => line.includes('crash-matrix/')) ?? '';
  const cause = error.cause === undefined ? '' : `\n  because: ${causesOf(error.cause)}`;
  return `${error.message}${place === '' ? '' : `\n  ${place.trim()}`}${cause}`;
}
