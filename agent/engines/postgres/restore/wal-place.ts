import { join } from 'node:path';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { oldOf } from '../../restore/directory-switch.ts';
import { linkAt } from '../copy/left-out.ts';
import type { PostgresSettings } from '../settings.ts';
import { dropTablespace, freeTablespaceDirectory, isMadeByRestore, linksIn } from './tablespaces.ts';

// A server may have its journal on another disk: pg_wal is a link then, and a base copy does not say so. Where the agent's
// file names a place (`wal`), a restored server has its journal in <wal>/<n>/pg_wal, a fresh number for each restore.

export const WAL = 'pg_wal';

/** Where the journal of this restore goes; null: into the data directory. */
export async function freeWalPlace({ wal }: PostgresSettings): Promise<string | null> {
  return wal === undefined ? null : join(await freeTablespaceDirectory(wal), WAL);
}

/** What becomes of a journal that lay, or lies, behind a link. `was`: where it led when the checkpoint was taken. */
export async function walWarnings(
  { name, data, wal }: PostgresSettings,
  was: string | null,
): Promise<Warning[]> {
  const warnings: Warning[] = [];
  if (was !== null && wal === undefined)
    warnings.push({
      code: 'postgres-wal-moved',
      about: name,
      text: `pg_wal was a link to ${was}, and is a directory in ${data} here, on the disk of the data`,
      hint: "name a directory on its disk for it ('wal: DIR' of this member in the agent file), and restart the agent",
    });
  const here = await linkAt(data, WAL);
  if (here !== null && !isMadeByRestore(here, WAL, rootsOf(wal)))
    warnings.push({
      code: 'postgres-wal-left',
      about: name,
      text: `the journal of the server that is replaced lies in ${here}, and stays there`,
      hint: 'remove it yourself when the restored server does its work',
    });
  return warnings;
}

/** Of the server that was replaced: what an earlier restore made. What its owner made is its owner's. */
export async function dropReplacedWal({ data, wal }: PostgresSettings): Promise<void> {
  for (const [name, target] of await linksIn(oldOf(data)))
    if (name === WAL && isMadeByRestore(target, WAL, rootsOf(wal))) await dropTablespace(target);
}

function rootsOf(wal: string | undefined): string[] {
  return wal === undefined ? [] : [wal];
}
