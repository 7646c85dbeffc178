import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { failureOf, type Failure } from '../../../shared/domain/errors.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { STANDBY_NAME } from './acknowledger.ts';
import { connect, serverError } from './connection.ts';
import { ABSENT_STANDBY } from './fence.ts';
import { missingPrivileges } from './privileges.ts';
import { ReplicationConnection } from './replication-connection.ts';
import { isPostgresRunning } from './restore/restore.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import { namesStandby } from './standby-names.ts';

const OLDEST = 15;
const NEWEST = 18;
/** Acknowledgement, journal and base copy. */
const SENDERS_NEEDED = 3;

/**
 * Looks at the server, changes nothing. A server that is down is described as such, with what its files say;
 * one that runs and cannot be asked has that for a problem. `busy`: a capture of ours is under way, and its
 * connections and settings are no problem.
 */
export async function describePostgres(
  settings: PostgresSettings,
  signal: AbortSignal,
  busy: boolean,
): Promise<MemberDescription> {
  let client: Client;
  try {
    client = await connect(settings, { applicationName: 'stillpoint-look', queryTimeoutMs: 8000 });
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return describeSilent(settings, error.failure);
  }
  const abort = (): void => void client.end().catch(() => undefined);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const facts = await readServerFacts(client);
    return {
      ...unknown(settings),
      running: true,
      primary: !facts.inRecovery,
      freezeKind: facts.inRecovery ? 'observer' : 'fenced',
      incarnation: incarnationOf(facts),
      version: facts.version,
      dataIdentity: facts.systemIdentifier,
      sizeBytes: facts.inRecovery ? 0 : facts.sizeBytes,
      problems: await findProblems(client, settings, facts, busy),
      warnings: await findWarnings(client, settings, facts),
    };
  } catch (error) {
    // Where the role may not even look, what it lacks says more than what failed.
    const missing = await missingPrivileges(client).catch(() => []);
    const failure = failureOf(serverError(settings, error), {
      code: 'postgres-look',
      hint: "see the agent's log",
    });
    return { ...unknown(settings), running: true, problems: missing.length > 0 ? missing : [failure] };
  } finally {
    signal.removeEventListener('abort', abort);
    client.end().catch(() => undefined);
  }
}

/** No connection: is it down, or does it only not talk to us? */
async function describeSilent(settings: PostgresSettings, failure: Failure): Promise<MemberDescription> {
  const known = { ...unknown(settings), ...(await readFiles(settings.data)) };
  if (await isPostgresRunning(settings)) return { ...known, running: true, problems: [failure] };
  // Without its address answering or a process on its files; a password was never asked for.
  return failure.code === 'postgres-unreachable' || failure.code === 'postgres-connection-lost'
    ? { ...known, warnings: [failure.message] }
    : { ...known, problems: [...known.problems, failure] };
}

/** What the files of a server that does not run say of it, where the agent may read them. */
async function readFiles(
  data: string,
): Promise<Partial<Pick<MemberDescription, 'version' | 'dataIdentity' | 'freezeKind' | 'problems'>>> {
  const found = await readdir(data).catch((): string[] => []);
  if (found.length > 0 && !found.includes('PG_VERSION')) return { problems: [noServer(data)] };
  try {
    const version = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim();
    // The first eight bytes of pg_control, in the byte order of the server's machine: this one.
    const control = await readFile(join(data, 'global', 'pg_control'));
    const names = await readdir(data);
    return {
      version,
      dataIdentity: control.readBigUInt64LE(0).toString(),
      freezeKind: names.includes('standby.signal') ? 'observer' : 'fenced',
    };
  } catch {
    return {};
  }
}

function noServer(data: string): Failure {
  return {
    code: 'data-foreign',
    message: `${data} is not empty, and holds no PostgreSQL server`,
    hint: 'correct `data` in the agent file; a restore would replace what is there',
  };
}

function unknown(settings: PostgresSettings): MemberDescription {
  return {
    name: settings.name,
    role: settings.role,
    copyset: settings.copyset ?? null,
    engine: 'postgres',
    address: settings.address,
    running: false,
    primary: false,
    frozen: false,
    freezeKind: 'fenced',
    incarnation: '',
    version: '',
    dataIdentity: '',
    sizeBytes: 0,
    problems: [],
    warnings: [],
    dataDirectory: '',
    localCheckpoints: [],
    realm: null,
    quorum: null,
  };
}

async function findProblems(
  client: Client,
  settings: PostgresSettings,
  facts: ServerFacts,
  busy: boolean,
): Promise<Failure[]> {
  const problems: Failure[] = [];
  const problem = (code: string, message: string, hint: string): void => {
    problems.push({ code, message: `${settings.name}: ${message}`, hint });
  };
  const major = Math.floor(facts.serverVersion / 10_000);
  if (major < OLDEST || major > NEWEST) {
    problem(
      'postgres-version',
      `PostgreSQL ${facts.version} is not supported`,
      `versions ${OLDEST} to ${NEWEST} are`,
    );
  }
  problems.push(...(await missingPrivileges(client)));
  if (facts.inRecovery || busy) return problems;
  if (facts.walLevel === 'minimal') {
    problem(
      'postgres-wal-level',
      'wal_level is minimal',
      'set wal_level = replica in postgresql.conf and restart the server',
    );
  }
  if (!facts.allowsAlterSystem) {
    problem(
      'postgres-alter-system',
      'allow_alter_system is off, and the fence is put up and taken down with ALTER SYSTEM',
      'set allow_alter_system = on in postgresql.conf and reload the server',
    );
  }
  if (facts.standbyNamesSource === 'command line') {
    problem(
      'postgres-standby-names',
      'synchronous_standby_names is given on the command line, where nobody can change it',
      'move it to postgresql.conf',
    );
  }
  if (namesStandby(facts.standbyNames, STANDBY_NAME) || namesStandby(facts.standbyNames, ABSENT_STANDBY)) {
    problem(
      'postgres-armed',
      `synchronous_standby_names is ${facts.standbyNames}: a freeze was not undone`,
      'start the agent that froze it, or put your own value back with ALTER SYSTEM and reload',
    );
  }
  await findLackOfRoom(client, problem);
  if (problems.length === 0) await tryReplication(settings, problem);
  return problems;
}

async function findLackOfRoom(
  client: Client,
  problem: (code: string, message: string, hint: string) => void,
): Promise<void> {
  const { rows } = await client.query<{ senders: number; slots: number; named: boolean }>(
    `SELECT current_setting('max_wal_senders')::int - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'walsender') AS senders,
            current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots) AS slots,
            EXISTS (SELECT FROM pg_stat_replication WHERE application_name = $1) AS named`,
    [STANDBY_NAME],
  );
  const [room] = rows;
  if (room === undefined) return;
  if (room.senders < SENDERS_NEEDED) {
    problem(
      'postgres-wal-senders',
      `${room.senders} of its wal senders are free; a checkpoint needs ${SENDERS_NEEDED}`,
      'raise max_wal_senders and restart the server',
    );
  }
  if (room.slots < 1)
    problem(
      'postgres-slots',
      'no replication slot is free',
      'raise max_replication_slots, or drop a slot that nobody uses',
    );
  if (room.named) {
    problem(
      'postgres-standby-named',
      `another standby calls itself ${STANDBY_NAME}`,
      'is another checkpoint running? Else give that standby another application_name',
    );
  }
}

/** The right to replicate shows only when it is used: role, pg_hba.conf and a free connection at once. */
async function tryReplication(
  settings: PostgresSettings,
  problem: (code: string, message: string, hint: string) => void,
): Promise<void> {
  try {
    const connection = await ReplicationConnection.open(settings, 'stillpoint-look');
    await connection.identify();
    connection.close();
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    problem(error.failure.code, `no replication connection: ${error.message}`, error.failure.hint);
  }
}

async function findWarnings(
  client: Client,
  settings: PostgresSettings,
  facts: ServerFacts,
): Promise<string[]> {
  const { rows } = await client.query<{ warning: string }>(
    `SELECT 'logical slot ' || slot_name || coalesce(' of ' || (SELECT nullif(application_name, '') FROM pg_stat_activity WHERE pid = active_pid), '') || ' is in use: its consumers see a commit before the fence lets clients see it' AS warning
       FROM pg_replication_slots WHERE slot_type = 'logical' AND active
     UNION ALL
     SELECT 'standby ' || application_name || coalesce(' at ' || client_addr::text, '') || ' replays its journal: if it serves reads, it must be a member of the grid'
       FROM pg_stat_replication WHERE state = 'streaming' AND application_name NOT LIKE 'stillpoint%' AND NOT EXISTS (
         SELECT FROM pg_replication_slots WHERE active_pid = pg_stat_replication.pid AND slot_type = 'logical')
     UNION ALL
     SELECT 'synchronous_commit is off or local by default: such commits make a checkpoint invalid'
      WHERE current_setting('synchronous_commit') IN ('off', 'local')
     UNION ALL
     SELECT 'synchronous_commit is set to off or local for a role or database: such commits make a checkpoint invalid'
      WHERE EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS line WHERE line ~ '^synchronous_commit=(off|local|false|no|0)')
     UNION ALL
     SELECT 'data checksums are off: damage on its disk goes unnoticed into a checkpoint' WHERE current_setting('data_checksums') = 'off'
     UNION ALL
     SELECT 'fsync is off: a crash of its host may damage it' WHERE current_setting('fsync') = 'off'
     UNION ALL
     SELECT 'full_page_writes is off: a base copy may be torn' WHERE current_setting('full_page_writes') = 'off'`,
  );
  const outside = facts.outsideFiles
    .filter(
      (file) => !settings.also.some((directory) => file.startsWith(`${directory.replace(/\/+$/, '')}/`)),
    )
    .map((file) => `${file} lies outside the data directory: name its directory in 'also' to take it along`);
  return [...rows.map(({ warning }) => warning), ...outside];
}
