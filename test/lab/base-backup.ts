import { chownSync, lchownSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtifactSink } from '../../agent/engines/engine.ts';
import { ArchiveReceiver } from '../../agent/engines/postgres/copy/archive-receiver.ts';
import { baseBackup as commandFor } from '../../agent/engines/postgres/copy/base-backup-command.ts';
import { ReplicationConnection } from '../../agent/engines/postgres/server/replication-connection.ts';
import { sha256 } from '../../shared/repository/digest.ts';
import { serverUser, type PostgresServer } from './postgres.ts';

/**
 * What `pg_basebackup --format=plain` makes, which does not come with the servers from npm: the data directory, tablespaces
 * beside it behind the links of the copy, the list of its files, and with `journal` the journal that it needs.
 */
export async function baseBackup(
  server: PostgresServer,
  image: string,
  { journal = true }: { readonly journal?: boolean } = {},
): Promise<void> {
  const { command, adapt } = commandFor({
    settings: { copy: { checkpoint: 'fast', mostJournal: 0, damagedPages: 'refuse' } },
    label: 'backup',
    serverVersion: Number(server.version) * 10_000,
  });
  const connection = await ReplicationConnection.open({ name: 'backup', connection: server.url }, 'backup');
  const receiver = new ArchiveReceiver({ artifacts: intoDirectory(image), progress: () => undefined });
  try {
    const messages = connection.copyOut(
      journal
        ? command.replace('PROGRESS', Number(server.version) < 15 ? 'PROGRESS WAL' : 'PROGRESS, WAL')
        : command,
      (fields, index) => {
        if (index > 0) adapt?.tablespace(fields[0] ?? '');
      },
      {
        warning: () => undefined,
        mayEndWith: () => false,
        ...(adapt !== null && { stream: (index) => adapt.stream(index) }),
      },
    );
    for (;;) {
      const next = await messages.next();
      if (next.done === true) {
        await receiver.finish(next.value);
        break;
      }
      for (const message of adapt?.messages(next.value) ?? [next.value]) await receiver.receive(message);
    }
  } finally {
    connection.close();
  }
  ofServerUser(dirname(image));
}

function intoDirectory(image: string): ArtifactSink {
  const linked = new Set<string>();
  const placeOf = (path: string): string => {
    const [room, ...rest] = path.split('/');
    if (room === 'base') return join(image, ...rest);
    const [oid = ''] = rest;
    if (!linked.has(oid)) symlinkSync(join(`${image}.tablespaces`, oid), join(image, 'pg_tblspc', oid));
    linked.add(oid);
    return join(`${image}.tablespaces`, ...rest);
  };
  mkdirSync(join(image, 'pg_tblspc'), { recursive: true, mode: 0o700 });
  return {
    async file({ path, mode }, content) {
      const parts: Uint8Array[] = [];
      for await (const part of content) parts.push(part);
      const bytes = Buffer.concat(parts);
      mkdirSync(dirname(placeOf(path)), { recursive: true });
      await writeFile(placeOf(path), bytes, { mode });
      return { sizeBytes: bytes.length, digest: sha256(bytes) };
    },
    directory({ path }) {
      mkdirSync(placeOf(path), { recursive: true, mode: 0o700 });
    },
    symlink() {
      throw new Error('a base copy has no links');
    },
  };
}

/** Everything below a folder becomes the server user's. */
export function ofServerUser(folder: string): void {
  if (serverUser === null) return;
  chownSync(folder, serverUser.uid, serverUser.gid);
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(folder, entry), serverUser.uid, serverUser.gid);
}
