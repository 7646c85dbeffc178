import type { GridProcess } from '../reference-grid/grid-process.ts';
import { launchReferenceGrid, layOutReferenceGrid, type ReferenceGrid } from '../reference-grid/launch.ts';
import { createGrid, type GridOptions, type NativeMember, type TestGrid } from './grid.ts';
import { placeOf } from './temporary.ts';

/** A reference grid with an agent on each of its hosts; with PostgreSQL and Infinispan beside where they are named. */
export interface ReferenceLab {
  readonly reference: ReferenceGrid;
  readonly grid: TestGrid;
  close(): Promise<void>;
}

export interface ReferenceLabOptions {
  readonly hosts: readonly string[];
  /** Where its processes have their files, and who made it takes it away; else one of its own. A short path, for sockets. */
  readonly folder?: string;
  readonly copysets?: Readonly<Record<string, number>>;
  readonly keepers?: number;
  readonly satellites?: number;
  readonly cluster?: number;
  readonly proxies?: number;
  readonly foreign?: readonly string[];
  /** Options of every process, e.g. `--journal-bytes`. */
  readonly processOptions?: readonly string[];
  /** Laid out and not started: a place to restore to, with CA and repository of another. */
  readonly beside?: ReferenceLab;
  readonly postgres?: GridOptions['copysets'];
  readonly clusters?: GridOptions['clusters'];
  readonly leaseSeconds?: number;
  readonly repository?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly memberLines?: GridOptions['memberLines'];
  /** Agents know of the nodes alone: what belongs to them in a realm runs, and is no part of the grid. */
  readonly nodesOnly?: boolean;
}

export async function createReferenceLab(options: ReferenceLabOptions): Promise<ReferenceLab> {
  const { hosts, beside, postgres = [], clusters, leaseSeconds, repository, env, memberLines } = options;
  const folder = placeOf(options.folder, 'rg');
  const layout = {
    name: 'orders',
    folder: folder.path,
    hosts,
    copysets: options.copysets ?? { a: 2, b: 2 },
    keepers: options.keepers ?? 3,
    proxies: options.proxies ?? 2,
    satellites: options.satellites ?? 1,
    ...(options.cluster !== undefined && { cluster: options.cluster }),
    ...(options.foreign !== undefined && { foreign: options.foreign }),
    ...(options.processOptions !== undefined && { options: options.processOptions }),
  };
  let reference: ReferenceGrid | null = null;
  let grid: TestGrid | null = null;
  const close = async (): Promise<void> => {
    await grid?.close();
    await reference?.close();
    folder.remove();
  };
  try {
    reference = beside === undefined ? await launchReferenceGrid(layout) : await layOutReferenceGrid(layout);
    if (beside !== undefined) for (const process of reference.processes) process.prepare();
    const { definition } = reference;
    grid = await createGrid({
      hosts,
      copysets: postgres,
      ...(clusters !== undefined && { clusters }),
      native: reference.processes
        .filter(({ role }) => options.nodesOnly !== true || role === 'node')
        .map((process) => memberOf(process, definition)),
      ...(options.nodesOnly === true && { withoutRealm: Object.keys(layout.copysets) }),
      ...(beside !== undefined && { beside: beside.grid, empty: true }),
      ...(leaseSeconds !== undefined && { leaseSeconds }),
      ...(repository !== undefined && { repository }),
      ...(env !== undefined && { env }),
      ...(memberLines !== undefined && { memberLines }),
    });
    return { reference, grid, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function memberOf(process: GridProcess, definition: ReferenceGrid['definition']): NativeMember {
  const { name, role, host, address, dataDirectory, participant, startCommand, stopCommand } = process;
  const copyset = definition.copysets.find(({ nodes }) => nodes.some((node) => node.name === name));
  return {
    name,
    role: role === 'keeper' ? 'state-keeper' : role,
    copyset: copyset?.name ?? null,
    host,
    address,
    dataDirectory,
    participant,
    startCommand,
    stopCommand,
  };
}
