import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What the kernel has counted for a process. Each fails when there is no process of this id. */

export function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Without that of inotify: a process has one for all that it watches, and keeps it from the first on. */
export function descriptorsOf(pid: number): number {
  const room = `/proc/${pid}/fd`;
  return readdirSync(room).filter((name) => linkOf(`${room}/${name}`) !== 'anon_inode:inotify').length;
}

/** Empty when it was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

export function threadsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`);
}

export function childrenOf(pid: number): number[] {
  return threadsOf(pid).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

/** Processor time that the process uses in this stretch, in ticks of 10 ms, all its threads together. */
export async function ticksIn(pid: number, ms: number): Promise<number> {
  const before = ticksOf(pid);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ticksOf(pid) - before;
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold anything; utime and stime are the 12th and 13th behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** How long the main thread has run, and how long it has waited for a processor although it could run; in ms. */
export function processorMs(pid: number): { ran: number; waited: number } {
  const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8')
    .split(' ')
    .map(Number);
  return { ran: ran / 1e6, waited: waited / 1e6 };
}
