import { join } from 'node:path';
import type { Failure } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory, closing } from '../../anchored-directory.ts';
import { liveOf, type NativeSettings } from './settings.ts';

/** So many are named; and so many entries are looked at: a checkpoint finds the rest. */
const MOST_NAMED = 3;
const MOST_ENTRIES = 20_000;

/**
 * What lies in a node's `live/` and can be no part of a checkpoint: sockets, links and pipes, each as a problem. Nothing
 * where it cannot be looked at: others say so.
 */
export async function strangersIn(settings: NativeSettings): Promise<Failure[]> {
  if (settings.role !== 'node') return [];
  const found: Failure[] = [];
  let left = MOST_ENTRIES;
  const look = async (directory: AnchoredDirectory): Promise<void> => {
    for (const entry of await directory.entries()) {
      left -= 1;
      if (left < 0 || found.length === MOST_NAMED) return;
      if (entry.isDirectory()) await closing(await directory.enter(entry.name), look);
      else if (!entry.isFile())
        found.push(stranger(settings, join(directory.path, entry.name), kindOf(entry)));
    }
  };
  const live = await AnchoredDirectory.openIfThere(liveOf(settings)).catch(() => null);
  // What goes while it is looked at is no part of it.
  if (live !== null) await closing(live, look).catch(() => undefined);
  return found;
}

type Entry = Awaited<ReturnType<AnchoredDirectory['entries']>>[number];

function kindOf(entry: Entry): string {
  if (entry.isSymbolicLink()) return 'a link';
  if (entry.isSocket()) return 'a socket';
  return entry.isFIFO() ? 'a pipe' : 'a device';
}

function stranger({ name }: NativeSettings, path: string, kind: string): Failure {
  return {
    code: 'unsupported-file',
    message: `${path} of ${name} is ${kind}: below live/ are files and directories`,
    hint: `let ${name} keep it beside live/, and remove it there`,
  };
}
