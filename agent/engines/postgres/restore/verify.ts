import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { parseLsn } from '../journal/lsn.ts';

/** A proven server, as those who look at it see it. */
export interface Looked {
  readonly name: string;
  readonly data: string;
  connect(database: string): Promise<Client>;
}

/** The history file of the new timeline says where the old one was left: at the mark, and nowhere else. */
export async function checkMark({ name, data }: Looked, facts: PostgresFacts): Promise<string> {
  const next = (facts.timeline + 1).toString(16).toUpperCase().padStart(8, '0');
  const history = await readFile(join(data, 'pg_wal', `${next}.history`), 'utf8');
  const last = history.trim().split('\n').at(-1)?.split('\t') ?? [];
  const [parent, position = '0/0'] = last;
  const mark = facts.markPosition ?? '0/0';
  if (Number(parent) === facts.timeline && parseLsn(position) === parseLsn(mark))
    return `mark: recovered to ${mark}, no further`;
  throw notAsCaptured(name, `it was recovered to ${position}, the mark is ${mark}`);
}

/** The same data, and a commit of its own returns. */
export async function checkServer({ name }: Looked, facts: PostgresFacts, client: Client): Promise<string[]> {
  const { rows } = await client.query<{ identifier: string }>(
    'SELECT system_identifier::text AS identifier FROM pg_control_system()',
  );
  if (rows[0]?.identifier !== facts.systemIdentifier) {
    throw notAsCaptured(
      name,
      `its system identifier is ${rows[0]?.identifier ?? 'unknown'}, the checkpoint's is ${facts.systemIdentifier}`,
    );
  }
  try {
    await client.query("SELECT pg_logical_emit_message(true, 'stillpoint', 'restored')");
  } catch (error) {
    throw notAsCaptured(name, `it does not commit: ${textOf(error)}`);
  }
  return ['system identifier', 'commit: returns'];
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function notAsCaptured(member: string, why: string): StillpointError {
  return new StillpointError({
    code: 'restore-not-verified',
    message: `${member} is not what the checkpoint says: ${why}`,
    hint: 'see all damage with stillpoint checkpoint verify, and restore another checkpoint',
  });
}
