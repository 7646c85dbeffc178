import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { failureOf, type Failure } from '../../../../shared/domain/errors.ts';
import type { MemberDescription, Traits } from '../../../../shared/domain/grid.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { freeBytesAt } from '../../../room-watch.ts';
import { readBeside } from '../../../safe-files.ts';
import { OUR_STANDBYS } from '../fence/acknowledger.ts';
import { findUnstorable } from '../copy/collect.ts';
import { connect, serverError } from '../server/connection.ts';
import type { JournalRate } from '../journal/journal-rate.ts';
import { findPendingSettings } from './pending-settings.ts';
import { isPristine } from './pristine.ts';
import { missingPrivileges } from './privileges.ts';
import { ReplicationConnection } from '../server/replication-connection.ts';
import { isPostgresRunning } from '../restore/restore.ts';
import {
  incarnationOf,
  readServerFacts,
  readSizeBytes,
  type ServerFacts,
  versionProblem,
} from '../server/server-facts.ts';
import type { PostgresSettings } from '../settings.ts';
import { abilitiesOf, readAbilities } from './abilities.ts';
import { restartWarnings, settingsInForce } from './restart-pending.ts';
import { fenceProblems } from './fence-problems.ts';
import { commitsThatWaitForReplay } from './remote-apply.ts';
import { asynchronousSubscriptions } from './subscriptions.ts';
import { readViewing } from './viewing.ts';

/** Acknowledgement, journal and base copy. */
const SENDERS_NEEDED = 3;
const SIZE_LIMIT_MS = 2000;

/**
 * Looks at the server, changes nothing. A server that is down is described as such, with what its files say;
 * one that runs and cannot be asked has that for a problem. `busy`: a capture of ours is under way, and its
 * connections and settings are no problem.
 */
export async function describePostgres(
  settings: PostgresSettings,
  {
    signal,
    busy,
    journalRate,
  }: { readonly signal: AbortSignal; readonly busy: boolean; readonly journalRate: JournalRate },
): Promise<MemberDescription> {
  let client: Client;
  try {
    client = await connect(settings, {
      applicationName: 'stillpoint-look',
      asOthers: true,
      queryTimeoutMs: 8000,
    });
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return describeSilent(settings, error.failure);
  }
  const abort = (): void => void client.end().catch(() => undefined);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const facts = await readServerFacts(client);
    const unknownVersion = versionProblem(settings.name, facts);
    // Whatever else is asked, a server of another version may not know.
    if (unknownVersion !== null)
      return {
        ...unknown(settings),
        running: true,
        primary: !facts.inRecovery,
        version: facts.version,
        problems: [unknownVersion],
      };
    const problems = await findProblems(client, settings, facts, busy);
    // Neither a standby is reloaded, nor a server with a standing fence; one that is armed has our own setting in its files.
    const pending =
      problems.length > 0 || facts.inRecovery || busy || settings.fence === 'standing'
        ? { problems: [], warnings: [] }
        : await findPendingSettings(client, settings);
    return {
      ...unknown(settings),
      running: true,
      leftFrozen: problems.some(({ code }) => code === 'postgres-armed'),
      primary: !facts.inRecovery,
      freezeKind: facts.inRecovery ? 'observer' : 'fenced',
      traits: traitsOf(settings, facts.version),
      incarnation: incarnationOf(facts),
      version: facts.version,
      dataIdentity: facts.systemIdentifier,
      sizeBytes: facts.inRecovery ? 0 : await readSizeBytes(client, SIZE_LIMIT_MS),
      journalBytesPerSecond: facts.inRecovery
        ? 0
        : await journalRate.read(client, facts.systemIdentifier, performance.now()),
      copyBytesPerSecond: settings.copy.maxRate ?? 0,
      problems: [...problems, ...pending.problems],
      warnings: [...(await findWarnings(client, settings, facts)), ...pending.warnings],
      viewing: (await readViewing(client, settings, facts)).viewing,
      abilities: await readAbilities(client, settings, facts),
    };
  } catch (error) {
    // Where the role may not even look, what it lacks says more than what failed.
    const missing = await missingPrivileges(client, settings.fence).catch(() => []);
    const failure = failureOf(serverError(settings, error), {
      code: 'postgres-look',
      hint: 'its log has what it refused to stillpoint-look: mend that, then stillpoint grid doctor',
    });
    return { ...unknown(settings), running: true, problems: missing.length > 0 ? missing : [failure] };
  } finally {
    signal.removeEventListener('abort', abort);
    client.end().catch(() => undefined);
  }
}

/** No connection: is it down, or does it only not talk to us? */
async function describeSilent(settings: PostgresSettings, failure: Failure): Promise<MemberDescription> {
  const known = { ...unknown(settings), ...(await readFiles(settings)) };
  if (await isPostgresRunning(settings)) return { ...known, running: true, problems: [failure] };
  // Without its address answering or a process on its files; a password was never asked for.
  return failure.code === 'postgres-unreachable' || failure.code === 'postgres-connection-lost'
    ? {
        ...known,
        warnings: [{ code: failure.code, about: settings.name, text: failure.message, hint: failure.hint }],
      }
    : { ...known, problems: [...known.problems, failure] };
}

/** What the files of a server that does not run say of it, where the agent may read them. */
async function readFiles(
  settings: PostgresSettings,
): Promise<
  Partial<Pick<MemberDescription, 'version' | 'dataIdentity' | 'freezeKind' | 'traits' | 'problems'>>
> {
  const { data } = settings;
  const found = await readdir(data).catch((): string[] => []);
  if (found.length > 0 && !found.includes('PG_VERSION')) return { problems: [noServer(data)] };
  try {
    const version = (await readFound(join(data, 'PG_VERSION'))).toString('utf8').trim();
    // The first eight bytes of pg_control, in the byte order of the server's machine: this one.
    const control = await readFound(join(data, 'global', 'pg_control'));
    const names = await readdir(data);
    return {
      version,
      traits: traitsOf(settings, version),
      // A cluster in which nobody has anything yet is no other server that a restore would take away.
      ...(!(await isPristine(data)) && { dataIdentity: control.readBigUInt64LE(0).toString() }),
      freezeKind: names.includes('standby.signal') ? 'observer' : 'fenced',
    };
  } catch {
    return {};
  }
}

/** pg_wal may lie on a disk of its own, behind a link. Null where the agent may not see it. */
export function freeJournalBytes({ data }: PostgresSettings): Promise<number | null> {
  return freeBytesAt(join(data, 'pg_wal'));
}

/** What is in it goes to the coordinator: never a file that the server's user links to. */
async function readFound(path: string): Promise<Buffer> {
  const bytes = await readBeside(path);
  if (bytes === null) throw new Error(`${path} is not there`);
  return bytes;
}

function noServer(data: string): Failure {
  return {
    code: 'data-foreign',
    message: `${data} is not empty, and holds no PostgreSQL server`,
    hint: 'correct `data` in the agent file; a restore would replace what is there',
  };
}

/** Servers of one major version read each other's journal; a standby has a copy, and may come and go. */
function traitsOf({ name }: PostgresSettings, version: string): Traits {
  return {
    domain: name,
    copies: 'each',
    standbys: 'follow',
    maintenance: false,
    inRealm: false,
    renamable: true,
    maxMembers: null,
    compatibility: version.split('.')[0] ?? '',
    marksJournalFile: true,
    restoresRunning: false,
    archive: null,
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
    leftFrozen: false,
    freezeKind: 'fenced',
    traits: traitsOf(settings, ''),
    incarnation: '',
    version: '',
    dataIdentity: '',
    sizeBytes: 0,
    journalBytesPerSecond: 0,
    copyBytesPerSecond: 0,
    problems: [],
    warnings: [],
    dataDirectory: '',
    localCheckpoints: [],
    realm: null,
    quorum: null,
    abilities: abilitiesOf(settings.name, null),
    updatesHaveRoomMs: null,
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
  problems.push(...(await missingPrivileges(client, settings.fence)));
  problems.push(...(await findUnstorable(settings, facts.inRecovery)));
  if (facts.inRecovery || busy) return problems;
  if (facts.walLevel === 'minimal') {
    problem(
      'postgres-wal-level',
      'wal_level is minimal: its journal lacks what a base copy needs',
      'ALTER SYSTEM SET wal_level = replica, then restart the server',
    );
  }
  problems.push(...(await fenceProblems(client, settings, facts)));
  problems.push(...(await asynchronousSubscriptions(client, settings.name)));
  problems.push(...(await commitsThatWaitForReplay(client, settings)));
  await findLackOfRoom(client, problem);
  if (problems.length === 0) await tryReplication(settings, problem);
  return problems;
}

async function findLackOfRoom(
  client: Client,
  problem: (code: string, message: string, hint: string) => void,
): Promise<void> {
  const { rows } = await client.query<{ senders: number; slots: number; named: string | null }>(
    `SELECT current_setting('max_wal_senders')::int - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'walsender') AS senders,
            current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots) AS slots,
            (SELECT application_name FROM pg_stat_replication WHERE lower(application_name) = ANY ($1) LIMIT 1) AS named`,
    [OUR_STANDBYS],
  );
  const [room] = rows;
  if (room === undefined) return;
  if (room.senders < SENDERS_NEEDED) {
    problem(
      'postgres-wal-senders',
      `${room.senders} of its wal senders are free; a checkpoint needs ${SENDERS_NEEDED}`,
      'ALTER SYSTEM SET max_wal_senders = N, that many more than now (SHOW max_wal_senders), then restart the server',
    );
  }
  if (room.slots < 1)
    problem(
      'postgres-slots',
      'no replication slot is free',
      'SELECT pg_drop_replication_slot(slot_name) of one that nobody uses (SELECT * FROM pg_replication_slots WHERE NOT active); or ALTER SYSTEM SET max_replication_slots = N, one more than now, then restart the server',
    );
  if (room.named !== null) {
    problem(
      'postgres-standby-named',
      `another standby calls itself ${room.named}`,
      'wait for another checkpoint of the same server, if there is one (stillpoint grid status); else give that standby another application_name in its primary_conninfo',
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
): Promise<Warning[]> {
  const { rows } = await client.query<Record<keyof typeof SETTINGS_TO_KNOW, boolean>>(
    `SELECT current_setting('synchronous_commit') IN ('off', 'local') AS "commitsUnheld",
            EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS line WHERE line ~ '^synchronous_commit=(off|local|false|no|0)') AS "someCommitsUnheld",
            current_setting('data_checksums') = 'off' AS "noChecksums",
            current_setting('fsync') = 'off' AS "noFsync",
            current_setting('full_page_writes') = 'off' AS "noFullPages"`,
  );
  const about = settings.name;
  const found = Object.entries(SETTINGS_TO_KNOW).flatMap(([key, { code, text, hint }]) =>
    rows[0]?.[key as keyof typeof SETTINGS_TO_KNOW] === true ? [{ code, about, text, hint }] : [],
  );
  const outside = facts.outsideFiles
    .filter(
      (file) => !settings.also.some((directory) => file.startsWith(`${directory.replace(/\/+$/, '')}/`)),
    )
    .map((file) => ({
      code: 'postgres-file-outside',
      about,
      text: `${file} lies outside the data directory, and no checkpoint has it`,
      hint: "restored on another host it would be missing: add its directory to 'also' of this member in the agent file, and restart the agent",
    }));
  const unseen =
    facts.inRecovery || (await freeJournalBytes(settings)) !== null
      ? []
      : [
          {
            code: 'postgres-room-unseen',
            about,
            text: 'the agent cannot see how much room is left for pg_wal: no checkpoint ends early for lack of it',
            hint: `run the agent as root, or as the owner of ${settings.data}; else watch that disk yourself`,
          },
        ];
  const restart = restartWarnings(about, await settingsInForce(client), 'runs');
  return [...found, ...outside, ...unseen, ...restart];
}

/** Settings of a server with which a checkpoint is made, and less is certain. */
const SETTINGS_TO_KNOW = {
  commitsUnheld: {
    code: 'postgres-commits-unheld',
    text: 'synchronous_commit is off or local by default: such commits make a checkpoint invalid',
    hint: "SELECT source, sourcefile FROM pg_settings WHERE name = 'synchronous_commit' says where it is set: change it there, or ALTER SYSTEM SET synchronous_commit = on; then SELECT pg_reload_conf()",
  },
  someCommitsUnheld: {
    code: 'postgres-some-commits-unheld',
    text: 'synchronous_commit is set to off or local for a role or database: such commits make a checkpoint invalid',
    hint: '\\drds in psql names it; then ALTER ROLE … RESET synchronous_commit, or ALTER DATABASE … RESET synchronous_commit, or ALTER ROLE … IN DATABASE … RESET synchronous_commit',
  },
  noChecksums: {
    code: 'postgres-no-checksums',
    text: 'data checksums are off: damage on its disk goes unnoticed into a checkpoint',
    hint: 'checkpoints work without them; to have them, stop the server, run pg_checksums --enable -D DATA as its user, and start it',
  },
  noFsync: {
    code: 'postgres-no-fsync',
    text: 'fsync is off: a crash of its host may damage it, and a checkpoint taken afterwards has the damage',
    hint: 'ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();',
  },
  noFullPages: {
    code: 'postgres-no-full-pages',
    text: 'full_page_writes is off: a base copy may have torn pages, and fail in a restore',
    hint: 'ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();',
  },
} as const;
