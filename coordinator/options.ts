import { InvalidArgumentError, type Command } from 'commander';

/** The options that every command has. */
export interface GlobalOptions {
  readonly grid?: string;
  readonly repository?: string;
  readonly output: 'text' | 'json';
  readonly quiet: boolean;
  readonly logLevel: string;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** Adds the options that may stand before or after any command. */
export function addGlobalOptions(command: Command): Command {
  // One that prints in more forms has said so itself.
  if (!command.options.some(({ long }) => long === '--output'))
    command.option('--output <format>', 'text or json', oneOf(['text', 'json']));
  return command
    .option('--grid <file>', 'the grid file (else STILLPOINT_GRID, ./grid.yaml, /etc/stillpoint/grid.yaml)')
    .option('--repository <location>', 'the repository; commands of the catalogue need only this')
    .option('--quiet', 'no progress on stderr')
    .option(
      '--log-level <level>',
      'trace, debug, info, warn, error or silent (default: warn)',
      oneOf(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    )
    .option('--timeout <duration>', 'abort after this long: 30, 30s, 5m or 2h', parseTimeout);
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 24 * 3_600_000,
  w: 7 * 24 * 3_600_000,
};

/** In milliseconds; a bare number is seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('write 30, 30s, 5m, 2h, 7d or 4w');
  const unit = UNITS[match[2] ?? 's'] ?? 1000;
  const ms = Number(match[1]) * unit;
  if (ms <= Number.MAX_SAFE_INTEGER) return ms;
  throw new InvalidArgumentError('that is longer than anybody waits');
}

/** A timer counts no further, and a longer one would go off at once. */
const MOST_TIMER_MS = 2 ** 31 - 1;

export function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms <= MOST_TIMER_MS) return ms;
  throw new InvalidArgumentError('write no more than 24d, or leave it out');
}

export function oneOf(allowed: readonly string[]): (text: string) => string {
  return (text) => {
    if (allowed.includes(text)) return text;
    throw new InvalidArgumentError(`use one of ${allowed.join(', ')}`);
  };
}
