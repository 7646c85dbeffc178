import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DescribeResponse } from '../../shared/rpc/generated/participant.ts';
import { addressOf, type GridDefinition } from './definition.ts';
import type { Options } from './options.ts';
import type { Participation } from './participant.ts';

/** A started process of any role. */
export interface Running {
  readonly participation: Participation;
  /** Resolves when clients reach it. Not set: they do. */
  readonly listens?: Promise<void>;
  /** Resolves when it takes part in the grid; rejects where it cannot, ever. */
  readonly begun: Promise<void>;
  stop(): Promise<void>;
}

type Described = Omit<DescribeResponse, 'contractVersion' | 'incarnation' | 'version' | 'held' | 'role'>;

/** What a process of any role says of itself. */
export function describedBase(options: Options, definition: GridDefinition | undefined): Described {
  return {
    grid: definition?.grid ?? '',
    name: options.name,
    address: (definition && addressOf(definition, options.name)) ?? options.listen,
    dataDirectory: options.data,
    journalDirectory: '',
    copyset: '',
    primary: false,
    dataIdentity: '',
    sizeBytes: BigInt(sizeBelow(join(options.data, 'live'))),
    clientConnections: 0,
    quorum: undefined,
    definition: undefined,
    highestEpoch: 0,
    highestCounter: 0,
    problems: [],
    startedWith: undefined,
    unjournaled: [],
    recovering: '',
    updatesHaveRoomMs: undefined,
  };
}

export function undecidedProblem(undecided: readonly string[]): DescribeResponse['problems'] {
  if (undecided.length === 0) return [];
  const message = `copyset ${undecided.join(', ')} changed while no quorum of keepers ran`;
  return [{ code: 'copyset-undecided', message, hint: 'stop the remaining keepers, then start all of them' }];
}

function sizeBelow(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
