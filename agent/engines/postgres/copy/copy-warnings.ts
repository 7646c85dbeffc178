import { DatabaseError, type Client } from 'pg';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { connect, databaseUrl } from '../server/connection.ts';
import type { ServerWarning } from '../server/replication-connection.ts';
import type { PostgresSettings } from '../settings.ts';

export interface DamagedPage {
  /** Relative to the data directory. */
  readonly file: string;
  readonly block: number;
}

const MOST_PAGES = 100;
const DATA_CORRUPTED = 'XX001';
/** What the server names stands in quotes, whichever its language has. */
const QUOTED = /["“”„»«‹›'](?:\.\/)?([^"“”„»«‹›']+)["“”„»«‹›']/;

/** What the server says while it makes a base copy: what it leaves out, and pages with another checksum than their own. */
export class CopyWarnings {
  /** Links, sockets and their like in the data directory, which are not in the copy. Each is told twice. */
  readonly leftOut = new Set<string>();
  readonly damagedPages: DamagedPage[] = [];

  note({ message, routine }: ServerWarning): void {
    const path = QUOTED.exec(message)?.[1] ?? '';
    if (path === '') return;
    if (routine === 'sendDir') {
      this.leftOut.add(path);
      return;
    }
    const block = /\b(\d+)\b/.exec(message.slice(message.indexOf(path) + path.length))?.[1];
    // Which checksum it has and which it should have end the line.
    const isPage = / [0-9A-F]+\W.* [0-9A-F]+\W*$/.test(message);
    if (isPage && block !== undefined && this.damagedPages.length < MOST_PAGES)
      this.damagedPages.push({ file: path, block: Number(block) });
  }
}

/** The very last that a server says of a base copy: all of it has been sent by then. */
export function isOnlyDamage(error: Error): boolean {
  return error instanceof DatabaseError && error.code === DATA_CORRUPTED;
}

/** Pages by the table or index that they are of. */
export async function describePages(
  settings: PostgresSettings,
  control: Client,
  pages: readonly DamagedPage[],
): Promise<string[]> {
  const names = new Map<string, string>();
  for (const { file } of pages)
    if (!names.has(file)) names.set(file, await relationOf(settings, control, file).catch(() => ''));
  return pages.map(({ file, block }) => {
    const name = names.get(file) ?? '';
    return `block ${block} of ${file}${name === '' ? '' : ` (${name})`}`;
  });
}

/** base/<database>/<file>, pg_tblspc/<tablespace>/<version>/<database>/<file>, global/<file>. */
async function relationOf(settings: PostgresSettings, control: Client, file: string): Promise<string> {
  const [, tablespace = '0', databaseOid = '0', node = ''] =
    /^(?:\.\/)?(?:base\/|pg_tblspc\/(\d+)\/[^/]+\/|global)(\d+)?\/(\d+)/.exec(file) ?? [];
  if (node === '') return '';
  const { rows } = await control.query<{ name: string }>(
    'SELECT datname AS name FROM pg_database WHERE oid = $1',
    [databaseOid],
  );
  const database = rows[0]?.name;
  const client = await connect(
    database === undefined
      ? settings
      : { ...settings, connection: databaseUrl(settings.connection, database) },
    { applicationName: 'stillpoint-look', queryTimeoutMs: 5000 },
  );
  try {
    const found = await client.query<{ name: string | null }>(
      'SELECT pg_filenode_relation($1, $2)::regclass::text AS name',
      [databaseOid === '0' ? '1664' : tablespace, node],
    );
    const name = found.rows[0]?.name;
    return name === undefined || name === null
      ? ''
      : `${name}${database === undefined ? '' : ` in database ${database}`}`;
  } finally {
    client.end().catch(() => undefined);
  }
}

/** Of a checkpoint that is made, or restored, with them. */
export function damagedPageWarnings(about: string, pages: readonly string[]): Warning[] {
  return pages.map((page) => ({
    code: 'postgres-page-damaged',
    about,
    doubtful: true,
    text: `${page} had a wrong checksum when the checkpoint was taken, and has it in the checkpoint`,
    hint: 'an index: REINDEX; a table: take its rows from a standby or an older checkpoint',
  }));
}

export function pagesDamaged(member: string, pages: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'page-damaged',
    message: `${member}: ${pages.length === 1 ? 'a page has' : `${pages.length} pages have`} a wrong checksum: ${pages.slice(0, 5).join('; ')}`,
    hint: "mend it (an index: REINDEX; a table: a standby or an older checkpoint has it); or say copy: { damagedPages: mark } of this member in the agent's file, and checkpoints are made with it and say so",
    member,
  });
}
