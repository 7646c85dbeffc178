import type { Command } from 'commander';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { checkPrivateKeyFile } from '../shared/rpc/tls-files.ts';
import { createLog, type Logger } from '../shared/runtime/log.ts';
import { listenForCancellation, type Words } from './cancellation.ts';
import { loadGridFile, type GridFile } from './grid-file.ts';
import type { GlobalOptions } from './options.ts';
import { createPrinter, type ResultPrinter } from './output.ts';
import { createProgress, type ProgressView } from './progress.ts';

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
