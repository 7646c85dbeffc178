import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { BaseCopy } from './archive-receiver.ts';

/** Every server has these two, inside its data directory. */
const BUILT_IN = new Set(['1663', '1664']);

const STATEMENT = `
  SELECT array(SELECT oid::text FROM pg_tablespace ORDER BY oid) AS oids,
         array(SELECT spcname::text FROM pg_tablespace
                WHERE spcname NOT IN ('pg_default', 'pg_global') AND pg_tablespace_location(oid) NOT LIKE '/%') AS inside,
         pg_stat_get_tuples_inserted('pg_catalog.pg_tablespace'::regclass)::text AS made`;

interface Row {
  readonly oids: readonly string[];
  readonly inside: readonly string[];
  readonly made: string;
}

/**
 * Whether the tablespaces of the base copy are those of the whole journal up to the mark. The journal has a new one
 * with its path: whoever replays it writes at that very path. On the host that it came from this is the directory of
 * the server that runs there. So such a checkpoint is not made. One that was made and dropped again shows in the
 * server's own count of rows only.
 */
export class TablespaceWatch {
  readonly #member: string;
  readonly #control: Client;
  readonly #madeBefore: number;

  private constructor(member: string, control: Client, madeBefore: number) {
    this.#member = member;
    this.#control = control;
    this.#madeBefore = madeBefore;
  }

  /** Before the base copy begins. */
  static async begin(member: string, control: Client): Promise<TablespaceWatch> {
    const { inside, made } = await read(control);
    if (inside.length > 0) throw inPlace(member, inside);
    return new TablespaceWatch(member, control, Number(made));
  }

  /** After the mark. */
  async check({ tablespaces }: Pick<BaseCopy, 'tablespaces'>): Promise<void> {
    const { oids, made } = await read(this.#control);
    const copied = new Set(tablespaces.map(({ oid }) => oid));
    const isNew = oids.some((oid) => !copied.has(oid) && !BUILT_IN.has(oid));
    if (isNew || Number(made) > this.#madeBefore) throw madeMeanwhile(this.#member);
  }
}

async function read(control: Client): Promise<Row> {
  const { rows } = await control.query<Row>(STATEMENT);
  const [row] = rows;
  if (row === undefined) throw new Error('the server said nothing of its tablespaces');
  return row;
}

function madeMeanwhile(member: string): StillpointError {
  return new StillpointError({
    code: 'tablespace-made',
    message: `${member}: a tablespace was made while the checkpoint was prepared; a restore would write into the very directory that CREATE TABLESPACE named`,
    hint: 'take the checkpoint again: the next one has the tablespace in its base copy',
    member,
  });
}

function inPlace(member: string, names: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'tablespace-in-place',
    message: `${member}: ${names.join(', ')} lie inside the data directory (allow_in_place_tablespaces), and a base copy has nothing of them`,
    hint: 'make them anew with a location of their own, or drop them',
    member,
  });
}
