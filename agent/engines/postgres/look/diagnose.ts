import { access, constants, lstat, readdir, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Finding } from '../../engine.ts';
import { mustHoldNoMount } from '../../restore/mounts.ts';
import { hasUnit, unitFindings } from '../../restore/unit.ts';
import { connect, serverError } from '../server/connection.ts';
import { isArmed } from '../fence/fence.ts';
import { missingForQuiesce, missingPrivileges } from './privileges.ts';
import { processOf } from '../restore/server-process.ts';
import type { PostgresSettings } from '../settings.ts';
import { namesInAutoConf } from '../fence/standby-setting.ts';

/** What `grid doctor` asks of a member beyond what preflight looks at. */
export async function diagnosePostgres(settings: PostgresSettings, busy: boolean): Promise<Finding[]> {
  const findings: Finding[] = [
    ...(await diagnoseDirectories(settings)),
    ...(await diagnoseMounts(settings)),
    ...(await diagnoseOutside(settings)),
    ...(await diagnosePasswordFile(settings)),
    ...(hasUnit(settings) ? await unitFindings(settings, await processOf(settings.data)) : []),
  ];
  let client: Client;
  try {
    client = await connect(settings, { applicationName: 'stillpoint-look', queryTimeoutMs: 8000 });
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return [...findings, { level: 'problem', failure: error.failure }];
  }
  try {
    const missing = await missingPrivileges(client, settings.fence);
    const armed = busy || settings.fence === 'standing' ? [] : await diagnoseArmedFile(client, settings);
    const forQuiesce = await missingForQuiesce(client);
    return [
      ...findings,
      ...missing.map((failure): Finding => ({ level: 'problem', failure })),
      ...forQuiesce.map((failure): Finding => ({ level: 'warning', failure })),
      ...armed,
    ];
  } catch (error) {
    throw serverError(settings, error);
  } finally {
    client.end().catch(() => undefined);
  }
}

/**
 * A copy that was made while a server was armed (pg_basebackup, a standby that was built anew) has the setting of the
 * freeze in its postgresql.auto.conf. On a standby it does nothing; once that is promoted, every commit hangs.
 */
async function diagnoseArmedFile(client: Client, { name, data }: PostgresSettings): Promise<Finding[]> {
  const values = (await namesInAutoConf(client, data)) ?? [];
  const ours = values.find(isArmed);
  if (ours === undefined) return [];
  const failure = {
    code: 'postgres-armed',
    message: `postgresql.auto.conf of ${name} has synchronous_standby_names = '${ours}', from a freeze that was not undone or a copy that was made during one: as a primary its commits would hang`,
    hint: 'as superuser, on this server: ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();',
  };
  return [{ level: 'problem', failure }];
}

/** A restore renames the data directory: its parent must be writable, and it must be no mount point. */
async function diagnoseDirectories({ data, name }: PostgresSettings): Promise<Finding[]> {
  const parent = dirname(data);
  try {
    await access(parent, constants.W_OK);
    if ((await lstat(data)).isSymbolicLink()) {
      const failure = {
        code: 'data-is-link',
        message: `${data} of ${name} is a link to ${await realpath(data)}: checkpoints work, and a restore is refused`,
        hint: 'name the directory itself in the agent file',
      };
      return [{ level: 'problem', failure }];
    }
    const [inner, outer] = await Promise.all([stat(data), stat(parent)]);
    if (inner.dev === outer.dev) return [];
    const failure = {
      code: 'data-is-mount-point',
      message: `${data} of ${name} is a mount point, or a subvolume of its own: checkpoints work, and a restore is refused`,
      hint: `stop the server, mount the disk (or make the subvolume) at another place, and let the data directory be a directory below that; correct data in the agent file`,
    };
    return [{ level: 'problem', failure }];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const failure = {
      code: 'data-unreachable',
      message: `${data} of ${name} cannot be replaced by a restore (${code ?? String(error)})`,
      hint: 'let the agent run as root, or as a user that may write the parent of the data directory',
    };
    return [{ level: 'warning', failure }];
  }
}

async function diagnoseMounts({ data, also, name }: PostgresSettings): Promise<Finding[]> {
  try {
    await mustHoldNoMount(name, [data, ...also]);
    return [];
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return [{ level: 'problem', failure: error.failure }];
  }
}

/** Directories of `also` are read while a checkpoint is collected: better to know now. */
async function diagnoseOutside({ also, name }: PostgresSettings): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const directory of also) {
    try {
      await readdir(directory);
    } catch (error) {
      const failure = {
        code: 'also-unreadable',
        message: `${directory} of ${name} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
        hint: `correct also of ${name} in the agent file, or let the agent run as root or as the owner of the directory: a checkpoint would fail there`,
      };
      findings.push({ level: 'problem', failure });
    }
  }
  return findings;
}

async function diagnosePasswordFile({ passwordFile, name }: PostgresSettings): Promise<Finding[]> {
  if (passwordFile === undefined) return [];
  const found = await stat(passwordFile).catch(() => null);
  if (found === null || (found.mode & 0o077) === 0) return [];
  const failure = {
    code: 'password-file-open',
    message: `others can read the password file ${passwordFile} of ${name}`,
    hint: `chmod 600 ${passwordFile}`,
  };
  return [{ level: 'warning', failure }];
}
