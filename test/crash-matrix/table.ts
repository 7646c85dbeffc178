import { FAULTS, PROCESSES, type Cell } from './cells.ts';
import type { CellResult } from './matrix.ts';

const COLUMNS = PROCESSES.flatMap((process) => FAULTS.map((fault) => ({ process, fault })));

/**
 * One grid's results: a line for each event, a column for each fault of each process. `-` is a cell that makes no
 * sense, a blank one was not asked for; BROKEN is told at length below the table.
 */
export function tableOf(results: readonly CellResult[]): string {
  const events = [...new Set(results.map(({ cell }) => cell.event))];
  const columns = COLUMNS.filter((column) => results.some(({ cell }) => isIn(cell, column)));
  const lines = [
    ['event', ...columns.map(({ process, fault }) => `${process} ${fault}`)],
    ...events.map((event) => [
      event,
      ...columns.map((column) => {
        const result = results.find(({ cell }) => cell.event === event && isIn(cell, column));
        return result === undefined ? '' : inWords(result);
      }),
    ]),
  ];
  return aligned(lines);
}

/** Pads every column to its widest word. */
export function aligned(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  );
  return lines
    .map((line) =>
      line
        .map((word, column) => word.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Why cells are `-`, each reason once. */
export function reasonsOf(results: readonly CellResult[]): string[] {
  return [
    ...new Set(
      results.flatMap((result) =>
        result.type === 'senseless'
          ? [`- ${result.cell.event}, ${result.cell.process}: ${result.cause}`]
          : [],
      ),
    ),
  ];
}

function isIn(cell: Cell, { process, fault }: Pick<Cell, 'process' | 'fault'>): boolean {
  return cell.process === process && cell.fault === fault;
}

function inWords(result: CellResult): string {
  if (result.type === 'kept') return result.ending;
  return result.type === 'broken' ? 'BROKEN' : '-';
}
