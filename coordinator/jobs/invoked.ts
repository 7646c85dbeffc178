import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import { AgentConnection, hostOf, throwRefused } from '../agents.ts';
import type { GridFile } from '../grid-file.ts';

/** At which grid and through whom an operation is invoked. */
export interface Invoked {
  readonly cluster?: string;
  readonly via?: string;
}

const CONNECT_MS = 5000;

/**
 * The coordinator speaks to every agent by itself, so it is all the same through which an operation is invoked. The grid
 * file must be of the grid that is named; the agent that is named must be of the grid, must answer, and must know the grid
 * by that name, before anybody else is asked: else nothing is touched.
 */
export async function checkInvoked(gridFile: GridFile, invoked: Invoked, signal: AbortSignal): Promise<void> {
  const { cluster = gridFile.grid, via } = invoked;
  if (cluster !== gridFile.grid) throw otherCluster(gridFile, cluster);
  if (via === undefined) return;
  const address = addressOf(gridFile, via);
  if (address === undefined) throw notOfGrid(gridFile, via);
  const connection = await AgentConnection.open(gridFile, address, CONNECT_MS, signal).catch(throwRefused);
  connection.close();
}

function addressOf({ agents }: GridFile, via: string): string | undefined {
  return agents.find((address) => address === via || hostOf(address) === via);
}

function notOfGrid({ grid, agents }: GridFile, via: string): StillpointError {
  return new StillpointError({
    code: 'via-unknown',
    message: `${via} is no agent of grid ${grid}`,
    hint: `name one of the grid file's: ${agents.join(', ')}`,
  });
}

function otherCluster({ grid }: GridFile, cluster: string): StillpointError {
  return new StillpointError(
    {
      code: 'wrong-grid',
      message: `the grid file is of grid ${grid}, not of ${cluster}`,
      hint: 'name the grid file of that grid with --grid FILE',
      phase: 'preflight',
    },
    EXIT.refused,
  );
}
