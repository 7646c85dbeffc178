import { statfs } from 'node:fs/promises';
import type { Failure } from '../shared/domain/errors.ts';
import type { Repository } from '../shared/repository/repository.ts';
import { computerClock, type Alarm, type Clock } from '../shared/runtime/clock.ts';
import { megabytes } from './byte-size.ts';
import type { Engine } from './engines/engine.ts';

const LOOK_EVERY_MS = 1000;

/** Bytes that must stay free on each disk while a checkpoint is taken (docs/agent.md). */
export interface KeepFree {
  /** Where a member writes its journal. */
  readonly journal: number;
  /** Where the agent keeps its state, and the journals it has received. */
  readonly state: number;
  readonly repository: number;
}

/** A disk that a checkpoint fills, and what is said when too little of it is left. */
export interface Room {
  readonly floorBytes: number;
  /** Null where nobody can see it. */
  freeBytes(): Promise<number | null>;
  failure(freeBytes: number): Failure;
}

export function memberRoom(member: string, engine: Pick<Engine, 'freeBytes'>, keepFree: KeepFree): Room {
  const floorBytes = keepFree.journal;
  return {
    floorBytes,
    freeBytes: () => engine.freeBytes(),
    failure: (freeBytes) => ({
      code: 'server-disk-short',
      message: `${megabytes(freeBytes)} are free where ${member} writes its journal; a checkpoint leaves ${megabytes(floorBytes)}`,
      hint: "make room there, or lower keepFree.journal in the agent's file",
      member,
    }),
  };
}

/** The agent's own disk, and the repository's. */
export function hostRooms(input: {
  readonly statePath: string;
  readonly repository: () => Promise<Repository>;
  readonly keepFree: KeepFree;
}): Room[] {
  const { statePath, repository, keepFree } = input;
  return [
    {
      floorBytes: keepFree.state,
      freeBytes: () => freeBytesAt(statePath),
      failure: (freeBytes) => ({
        code: 'agent-disk-full',
        message: `${megabytes(freeBytes)} are free on the disk of the agent's state directory; a checkpoint leaves ${megabytes(keepFree.state)}`,
        hint: "make room there; a repository that is slower than the server's journal lets it fill up",
      }),
    },
    {
      floorBytes: keepFree.repository,
      freeBytes: async () => (await repository()).freeBytes(),
      failure: (freeBytes) => ({
        code: 'repository-full',
        message: `the repository has ${megabytes(freeBytes)} free; a checkpoint leaves ${megabytes(keepFree.repository)}`,
        hint: 'delete old checkpoints (stillpoint checkpoint delete), or make room',
      }),
    },
  ];
}

/** Null where the agent may not see it. */
export async function freeBytesAt(path: string): Promise<number | null> {
  const disk = await statfs(path).catch(() => null);
  return disk === null ? null : disk.bavail * disk.bsize;
}

/**
 * Looks again and again, and calls `short` once, with the first room of which too little is left. A look that
 * fails says nothing: whoever writes there meets the cause. Returns what ends it.
 */
export function watchRooms(
  rooms: readonly Room[],
  short: (failure: Failure) => void,
  clock: Pick<Clock, 'now' | 'alarm'> = computerClock,
): () => void {
  let ended = false;
  const alarms: Alarm[] = [];
  const end = (): void => {
    ended = true;
    for (const alarm of alarms) alarm.set(null);
  };
  // Each by itself: a repository that hangs must not hide a server that runs full.
  for (const room of rooms) {
    const look = async (): Promise<void> => {
      const free = await room.freeBytes().catch(() => null);
      if (ended) return;
      if (free === null || free >= room.floorBytes) return alarm.set(clock.now() + LOOK_EVERY_MS);
      end();
      short(room.failure(free));
    };
    const alarm = clock.alarm(() => void look());
    alarm.set(clock.now() + LOOK_EVERY_MS);
    alarms.push(alarm);
  }
  return end;
}
