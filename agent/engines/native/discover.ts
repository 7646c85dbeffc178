import { lstat, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Discovery, FoundMember, HostToLookAt } from '../discovery.ts';
import { listenerOf, unitOf } from '../host-processes.ts';
import { withParticipant } from './link.ts';

interface Socket {
  readonly path: string;
  /** Its number in /proc; null where the kernel does not list it. */
  readonly inode: string | null;
}

/**
 * Processes of this host that take part by themselves. Only a socket whose name says so (`participant` is in it), or that
 * the operator has named, is asked: others belong to programs that do not expect us.
 */
export async function discoverNative(host: HostToLookAt): Promise<Discovery> {
  const listening = socketsIn(await readFile('/proc/net/unix', 'utf8').catch(() => ''));
  const named = host.participants.map((path): Socket => ({
    path,
    inode: listening.find((socket) => socket.path === path)?.inode ?? null,
  }));
  const called = listening.filter(
    ({ path }) => basename(path).includes('participant') && !host.participants.includes(path),
  );
  const members: FoundMember[] = [];
  const notes: string[] = [];
  for (const socket of [...named, ...called]) {
    try {
      members.push(await ask(socket));
    } catch (error) {
      notes.push(`${socket.path} is no member: ${(error as Error).message}`);
    }
  }
  return { members, notes };
}

/** What listens, of the text of /proc/net/unix: of type SOCK_STREAM, with a path. */
export function socketsIn(text: string): Socket[] {
  return text.split('\n').flatMap((line): Socket[] => {
    const [, , , flags, type, , inode, ...path] = line.trim().split(/\s+/);
    const name = path.join(' ');
    const listens = (Number.parseInt(flags ?? '', 16) & 0x1_0000) !== 0 && type === '0001';
    return listens && name.startsWith('/') && inode !== undefined ? [{ path: name, inode }] : [];
  });
}

async function ask({ path, inode }: Socket): Promise<FoundMember> {
  const participant = `unix:${path}`;
  await lstat(path);
  const said = await withParticipant({ participant, tls: undefined }, (process) => process.describe());
  const pid = inode === null ? null : await listenerOf(inode);
  const { unit, why } = pid === null ? { unit: null, why: 'its process was not found' } : await unitOf(pid);
  return {
    keys: {
      name: said.name,
      role: said.role,
      ...(said.copyset !== null && { copyset: said.copyset }),
      engine: 'native',
      address: said.address,
      data: said.dataDirectory,
      participant,
      ...(unit !== null && { unit }),
    },
    remarks:
      unit === null
        ? { participant: `no unit: ${why}; a restore needs unit: NAME or run: { start: […], stop: […] }` }
        : {},
    grid: said.grid === '' ? null : said.grid,
    doubt: null,
  };
}
