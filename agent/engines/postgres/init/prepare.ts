import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { escapeLiteral, type Client } from 'pg';
import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import { readPlainFile, within } from '../../../safe-files.ts';
import type { Need, Preparation } from '../../discovery.ts';
import { ownerOf } from '../../restore/owner.ts';
import { userOf } from '../../restore/run-as.ts';
import { connect, readPassword } from '../server/connection.ts';
import { socketFolderOf } from '../server/connection-url.ts';
import { readServerVersion } from '../server/server-facts.ts';
import { grantableForQuiesce, missingPrivileges, roleName, roleStatements } from '../look/privileges.ts';
import type { PostgresSettings } from '../settings.ts';
import { letIn } from './access-file.ts';
import { accessLines, type Whence } from './access-lines.ts';
import { parsePostmasterFile } from './clusters.ts';
import { loginAsOwner, type LocalServer } from './owner-login.ts';
import { newPassword, scramVerifier } from './scram.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

/** What a member's server must be told, and what tells it: its role, the role's password, and who may come in. */
export async function preparePostgres(settings: PostgresSettings): Promise<Preparation> {
  const failures = await whatIsMissing(settings);
  return {
    needs: failures.length === 0 ? [] : await needsOf(settings),
    apply: async () => (failures.length === 0 ? ['it has all that it needs'] : apply(settings)),
  };
}

/** What keeps the agent from its work, asked with the agent's own role over the connection of its file. */
async function whatIsMissing(settings: PostgresSettings): Promise<Failure[]> {
  try {
    const client = await connect(settings, { applicationName: 'stillpoint-init', queryTimeoutMs: 10_000 });
    try {
      const missing = [
        ...(await missingPrivileges(client, settings.fence)),
        ...(await grantableForQuiesce(client)),
      ];
      if (missing.length > 0) return missing;
    } finally {
      client.end().catch(() => undefined);
    }
    const stream = await connect(settings, { applicationName: 'stillpoint-init', replication: 'physical' });
    stream.end().catch(() => undefined);
    return [];
  } catch (error) {
    if (error instanceof StillpointError) return [error.failure];
    throw error;
  }
}

async function needsOf(settings: PostgresSettings): Promise<Need[]> {
  const { role, database, whence } = partsOf(settings);
  const isStandby = await isThere(join(settings.data, 'standby.signal'));
  const port = Number(new URL(settings.connection).port || 5432);
  const sql: Need = {
    where: isStandby
      ? 'on its primary, as superuser (a standby has its roles from there)'
      : `as superuser (runuser -u ${await ownerName(settings)} -- psql -p ${port} ${database})`,
    lines: roleStatements(role, { exists: false }),
  };
  const password: Need = {
    where: `a password for it (\\password ${roleName(role)} in psql), and the same, alone, in`,
    lines: [settings.passwordFile ?? 'the environment of the agent: PGPASSWORD'],
  };
  const access: Need = {
    where:
      'in its pg_hba.conf, above other lines, unless these let the role in already; then SELECT pg_reload_conf()',
    lines: accessLines(role, whence),
  };
  return [sql, password, access];
}

async function apply(settings: PostgresSettings): Promise<string[]> {
  const { role, database, whence } = partsOf(settings);
  const server = await localServer(settings);
  const client = await loginAsOwner(server, database);
  const done: string[] = [];
  try {
    if (await isInRecovery(client)) await mustHaveRole(client, settings, role);
    else done.push(...(await giveRole(client, settings, role)));
    let [failure] = await whatIsMissing(settings);
    if (failure?.code === 'postgres-hba') {
      done.push(
        await letIn(client, { settings, role, lines: accessLines(role, whence), owner: server.owner }),
      );
      failure = await whatIsMissingSoon(settings);
    }
    if (failure !== undefined) throw new StillpointError(failure);
  } finally {
    client.end().catch(() => undefined);
  }
  return [...done, `the server lets role ${role} in, for statements and for its journal`];
}

/** A role that is there keeps its password: another agent may use it. */
async function giveRole(client: Client, settings: PostgresSettings, role: string): Promise<string[]> {
  const { rows } = await client.query<{ verifier: string | null }>(
    'SELECT rolpassword AS verifier FROM pg_authid WHERE rolname = $1',
    [role],
  );
  const [found] = rows;
  const serverVersion = await readServerVersion(client);
  const statements = roleStatements(role, { exists: found !== undefined, serverVersion }).join('\n');
  if (found !== undefined && found.verifier !== null) {
    await mustHavePassword(settings);
    await client.query(statements);
    return [`role ${role} was there, and has all privileges`];
  }
  const { password, made } = await passwordOf(settings);
  const own = `ALTER ROLE ${roleName(role)} PASSWORD ${escapeLiteral(scramVerifier(password))};`;
  await client.query(`BEGIN; ${statements}\n${own} COMMIT`);
  return [
    `role ${role} was ${found === undefined ? 'made' : 'there'}, and has all privileges`,
    `its password is ${made ? 'new' : 'that'}, in ${settings.passwordFile ?? ''}`,
  ];
}

/** That of its file, which is made where there is none. */
async function passwordOf({
  name,
  passwordFile,
}: PostgresSettings): Promise<{ password: string; made: boolean }> {
  if (passwordFile === undefined)
    throw new StillpointError({
      code: 'postgres-password',
      message: `${name} has no passwordFile in the agent file`,
      hint: 'add passwordFile: /etc/stillpoint/postgres.password to it',
    });
  if (await isThere(passwordFile)) return { password: await readPassword(passwordFile), made: false };
  const password = newPassword();
  await within(join(passwordFile, '..'), (folder) => folder.write(basename(passwordFile), `${password}\n`));
  return { password, made: true };
}

/** A standby has its roles from its primary, and the password is the one that was made there. */
async function mustHaveRole(client: Client, settings: PostgresSettings, role: string): Promise<void> {
  const { rows } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
  if (rows.length === 0)
    throw new StillpointError({
      code: 'postgres-privilege',
      message: `${settings.name} is a standby, and its primary has not given it the role ${role} yet`,
      hint: 'stillpoint-agent init --apply on the host of its primary first; then copy its password file here, and run this again',
    });
  await mustHavePassword(settings);
}

async function mustHavePassword({ name, passwordFile }: PostgresSettings): Promise<void> {
  if (passwordFile === undefined || (await isThere(passwordFile))) return;
  throw new StillpointError({
    code: 'postgres-password',
    message: `the role of ${name} has a password already, and ${passwordFile} is not there`,
    hint: `put the password there, mode 600 (a standby's: copy the file from the host of its primary); where nobody knows it, ALTER ROLE … PASSWORD NULL on the primary, and run this again there`,
  });
}

/** A reload takes a moment. */
async function whatIsMissingSoon(settings: PostgresSettings): Promise<Failure | undefined> {
  const until = performance.now() + 5000;
  for (;;) {
    const [failure] = await whatIsMissing(settings);
    if (failure?.code !== 'postgres-hba' || performance.now() > until) return failure;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function isInRecovery(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ yes: boolean }>('SELECT pg_is_in_recovery() AS yes');
  return rows[0]?.yes === true;
}

/** How its own user reaches a server that runs. */
async function localServer(settings: PostgresSettings): Promise<LocalServer> {
  const text = await readPlainFile(join(settings.data, 'postmaster.pid'), 4096).catch(() => '');
  const file = parsePostmasterFile(text);
  const { uid, gid } = (await ownerOf(settings)) ?? {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
  const user = await ownerName(settings);
  if (file !== null && file.socketFolder !== '')
    return {
      name: settings.name,
      socketFolder: file.socketFolder,
      port: file.port,
      owner: { uid, gid },
      user,
    };
  throw new StillpointError({
    code: 'member-down',
    message:
      file === null
        ? `${settings.name} does not run: nothing can be done to its server`
        : `${settings.name} has no Unix socket (unix_socket_directories): its own user cannot come in`,
    hint:
      file === null
        ? `start it (${settings.unit === undefined ? 'as its owner does' : `systemctl start ${settings.unit}`}), and run stillpoint-agent init --apply again`
        : 'carry out by hand, as a superuser, what stillpoint-agent init prints without --apply',
  });
}

async function ownerName(settings: PostgresSettings): Promise<string> {
  if (settings.owner !== undefined) return settings.owner;
  const { uid, gid } = await stat(settings.data);
  return (await userOf({ uid, gid })).name ?? 'postgres';
}

function partsOf({ connection }: PostgresSettings): { role: string; database: string; whence: Whence } {
  const { username, pathname } = new URL(connection);
  return {
    role: decodeURIComponent(username) || 'stillpoint',
    database: decodeURIComponent(pathname.slice(1)) || 'postgres',
    whence: socketFolderOf(connection) === null ? 'samehost' : 'socket',
  };
}
