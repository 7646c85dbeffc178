import { InvalidArgumentError, type Command } from 'commander';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { checkPrivateKeyFile } from '../shared/rpc/tls-files.ts';
import { createLog, type Logger } from '../shared/runtime/log.ts';
import { listenForCancellation, type Words } from './cancellation.ts';
import { loadGridFile, type GridFile } from './grid-file.ts';
import { createPrinter, type ResultPrinter } from './output.ts';
import { createProgress, type ProgressView } from './progress.ts';

/** The options that every command has. */
interface GlobalOptions {
  readonly grid?: string;
  readonly repository?: string;
  readonly output: 'text' | 'json';
  readonly quiet: boolean;
  readonly logLevel: string;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** What a command works with; made from the options, ended when the command is. */
export interface Session {
  readonly printer: ResultPrinter;
  readonly progress: ProgressView;
  readonly cancellation: Words;
  readonly log: Logger;
  /** For commands that speak to agents: refused where others may read the coordinator's private key. */
  gridFile(): Promise<GridFile>;
  /** `--repository`, else that of the grid file. The grid is null where only a repository was named. */
  repositoryLocation(): Promise<{ location: string; grid: string | null }>;
  /** The same, opened. */
  repository(): Promise<{ repository: Repository; grid: string | null }>;
}

/** After the second word: what a server of files or an agent that hangs may still take to end by itself. */
const LAST_MS = 5000;

/** Rejects when the second word is so old that whoever said it waits for nothing any more. */
function givenUp(second: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    second.addEventListener('abort', () => setTimeout(() => reject(stoppedWaiting()), LAST_MS), {
      once: true,
    });
  });
}

function stoppedWaiting(): StillpointError {
  return new StillpointError(
    {
      code: 'interrupted',
      message: 'interrupted twice: it was not waited for what is still under way',
      hint: 'see with stillpoint grid status how every member is; an agent lets go by itself when this command is gone',
    },
    EXIT.maybeFrozen,
  );
}

/** Rejects when the signal comes. */
function ended(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
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

/**
 * Runs a command's action with a session, and ends the session whatever comes. Ctrl-C ends it at once, but
 * for an operation on the grid (`abortsItself`), which must thaw or roll back first; a second one ends that too. SIGTERM does
 * the same, but to what holds the grid until it is let go (`letsGo`).
 */
export async function withSession(
  command: Command,
  action: (session: Session) => Promise<void>,
  options: { readonly abortsItself: boolean; readonly letsGo?: boolean } = { abortsItself: false },
): Promise<void> {
  const given = {
    output: 'text',
    quiet: false,
    logLevel: 'warn',
    ...command.optsWithGlobals<Partial<GlobalOptions>>(),
  } as GlobalOptions;
  const cancellation = listenForCancellation(given.timeout ?? null, options);
  const progress = await createProgress({ quiet: given.quiet });
  let opened: Repository | null = null;
  async function readGridFile(): Promise<GridFile> {
    const file = await loadGridFile(given.grid);
    return given.repository === undefined ? file : { ...file, repository: given.repository };
  }
  async function repositoryLocation(): Promise<{ location: string; grid: string | null }> {
    const named = given.repository !== undefined && given.grid === undefined;
    const file = named ? null : await readGridFile();
    return { location: file?.repository ?? given.repository ?? '', grid: file?.grid ?? null };
  }
  const session: Session = {
    printer: createPrinter(given.output),
    progress,
    cancellation,
    log: createLog({ name: 'stillpoint', level: given.logLevel, neverWaits: true }),
    async gridFile() {
      const file = await readGridFile();
      await checkPrivateKeyFile(file.tls.key);
      return file;
    },
    repositoryLocation,
    async repository() {
      const { location, grid } = await repositoryLocation();
      opened = await openRepository(location);
      return { repository: opened, grid };
    },
  };
  try {
    await Promise.race([
      action(session),
      options.abortsItself ? givenUp(cancellation.second) : ended(cancellation.signal),
    ]);
  } finally {
    progress.finish();
    cancellation.stop();
    await (opened as Repository | null)?.close();
  }
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
