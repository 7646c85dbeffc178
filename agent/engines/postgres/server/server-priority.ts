import { readFile } from 'node:fs/promises';
import { constants, getPriority, setPriority } from 'node:os';
import { join } from 'node:path';

/**
 * While a server is held, its own processes for our sessions go before those of its clients: when the first
 * commits return all clients run at once, and the word that lets the others go would wait behind them. Only a
 * privileged agent (root, or CAP_SYS_NICE) can do that; elsewhere nothing changes. The processes end with our
 * sessions, so an agent that is killed leaves none behind.
 *
 * Resolves to the way back; call it once or more.
 */
export async function raiseServerPriority(
  dataDirectory: string,
  processIds: readonly number[],
): Promise<() => void> {
  const usual = new Map<number, number>();
  const server = await serverOf(dataDirectory);
  for (const processId of processIds) {
    // Not a child of this server: another numbering of processes, as in containers. It may be anybody's.
    if (server === null || (await parentOf(processId)) !== server) continue;
    const before = priorityOf(processId);
    if (before !== null && prioritize(processId, constants.priority.PRIORITY_HIGHEST))
      usual.set(processId, before);
  }
  return () => {
    for (const [processId, before] of usual) prioritize(processId, before);
    usual.clear();
  };
}

async function serverOf(dataDirectory: string): Promise<number | null> {
  const text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
  return Number.parseInt(text, 10) || null;
}

async function parentOf(processId: number): Promise<number | null> {
  const text = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => '');
  // pid (name, which may hold anything) state parent …: proc_pid_stat(5)
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]) || null;
}

function priorityOf(processId: number): number | null {
  try {
    return getPriority(processId);
  } catch {
    return null;
  }
}

/** False where the system does not let us, or the process has gone. */
function prioritize(processId: number, priority: number): boolean {
  try {
    setPriority(processId, priority);
    return true;
  } catch {
    return false;
  }
}
