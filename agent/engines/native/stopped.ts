import { open, readdir } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { MemberDescription } from '../../../shared/domain/grid.ts';
import type { ParticipantDescription } from '../../../shared/domain/participant.ts';
import { readDescription } from '../../../shared/rpc/participant-codec.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** What a process says of itself when it does not run; it may be left out (proto/participant.proto, "Files"). */
export const DESCRIBED = 'described.json';
const MOST_BYTES = 4 * 1024 * 1024;

type Known = Pick<MemberDescription, 'dataIdentity' | 'version' | 'realm'>;

/**
 * Whose files these are, by what the process that had them last said. Nothing where there is no `live/`: what is
 * gone is nobody's. What cannot be read is unknown, and not an error of who does not run.
 */
export async function describeStopped(settings: NativeSettings): Promise<Partial<Known>> {
  const live = await readdir(liveOf(settings)).catch((): string[] => []);
  if (live.length === 0) return {};
  const said = await readSaid(join(settings.data, DESCRIBED));
  if (said === null || said.name !== settings.name || said.role !== settings.role) return {};
  const { definition, highestEpoch, highestCounter, dataIdentity, version } = said;
  return {
    dataIdentity,
    version,
    realm: definition === null ? null : { ...definition, highestEpoch, highestCounter },
  };
}

/** The file is the process's: a link, a fifo or an endless one must not hold up the agent. */
export async function readSaid(path: string): Promise<ParticipantDescription | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const about = await file.stat();
      if (!about.isFile() || about.size > MOST_BYTES) return null;
      return readDescription(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
}
