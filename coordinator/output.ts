import { EXIT, failureOf, StillpointError, type ExitCode, type Failure } from '../shared/domain/errors.ts';
import { stderr, stdout } from './words.ts';

export interface ResultPrinter {
  /** The result of a command, once: the object for scripts, or the text for people. */
  result(value: object, text: string): void;
}

export function createPrinter(output: 'text' | 'json'): ResultPrinter & { error(error: unknown): ExitCode } {
  return {
    result(value, text) {
      stdout.write(output === 'json' ? `${JSON.stringify(value)}\n` : `${text}\n`);
    },
    error(error) {
      const failure = failureOf(error, {
        code: 'internal',
        hint: 'this is a fault of stillpoint itself: run it again with --log-level debug and report what it prints',
      });
      if (output === 'json') stdout.write(`${JSON.stringify({ error: failure })}\n`);
      else stderr.write(inWords(failure));
      return error instanceof StillpointError ? error.exitCode : EXIT.usage;
    },
  };
}

/** The fact, then the remedy, then the state of every member. */
function inWords(failure: Failure): string {
  const where = [
    failure.phase,
    failure.member,
    failure.host === undefined ? undefined : `on ${failure.host}`,
  ].filter((part) => part !== undefined);
  const lines = [
    `stillpoint: ${failure.message}${where.length === 0 ? '' : ` [${where.join(' ')}]`}`,
    `hint: ${failure.hint}`,
    ...(failure.members ?? []).map(
      ({ name, state, host }) => `  ${name}: ${state}${host === undefined ? '' : ` on ${host}`}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
