import type { Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import { isArmed } from '../fence/fence.ts';
import { whyNotStanding, withoutOurs } from '../fence/standing.ts';
import type { ServerFacts } from '../server/server-facts.ts';
import type { PostgresSettings } from '../settings.ts';
import { whySettingsFileStays } from './settings-file.ts';

/** Sources of a setting over which postgresql.auto.conf wins (`pg_settings.source`). */
const SETTABLE = ['default', 'environment variable', 'configuration file'];

/** What keeps a fence from being put up and taken down on this primary. */
export function fenceProblems(
  client: Client,
  settings: PostgresSettings,
  facts: ServerFacts,
): Promise<Failure[]> {
  return settings.fence === 'standing'
    ? standingProblems(client, settings.name, facts.standbyNames)
    : settingProblems(settings, facts);
}

/** Of a fence for which a setting is changed. */
async function settingProblems(settings: PostgresSettings, facts: ServerFacts): Promise<Failure[]> {
  const problems: Failure[] = [];
  const problem = (code: string, message: string, hint: string): void => {
    problems.push({ code, message: `${settings.name}: ${message}`, hint });
  };
  const stays = facts.allowsAlterSystem ? await whySettingsFileStays(settings.data) : null;
  if (!facts.allowsAlterSystem) {
    problem(
      'postgres-alter-system',
      'allow_alter_system is off, and the fence is put up and taken down with ALTER SYSTEM',
      "set allow_alter_system = on in postgresql.conf and reload the server; or, where it has a standby, use a fence that changes nothing: 'fence: standing' of this member in the agent file",
    );
  } else if (stays !== null) {
    problem(
      'postgres-alter-system',
      `ALTER SYSTEM would fail, with which the fence is put up and taken down: ${stays}`,
      "let the user of the server write postgresql.auto.conf and the data directory (ls -l, lsattr and findmnt show what forbids it); or, where it has a standby, use a fence that changes nothing: 'fence: standing' of this member in the agent file",
    );
  }
  if (!SETTABLE.includes(facts.standbyNamesSource)) {
    problem(
      'postgres-standby-names',
      `synchronous_standby_names is given by ${facts.standbyNamesSource}, which wins over what ALTER SYSTEM writes`,
      'take it out of the command line (-c in pg_ctl.conf or in the unit) and write it into postgresql.conf; then restart the server',
    );
  }
  if (isArmed(facts.standbyNames)) {
    problem(
      'postgres-armed',
      `synchronous_standby_names is ${facts.standbyNames}: a freeze was not undone`,
      "start the agent that froze it; where there is none, ALTER SYSTEM RESET synchronous_standby_names (or SET your own value), then SELECT pg_reload_conf(). Where it stands there on purpose, say 'fence: standing' of this member in the agent file",
    );
  }
  return problems;
}

/** Of a standing fence: the list must name us, and be satisfied without us as soon as we are gone. */
export async function standingProblems(client: Client, member: string, names: string): Promise<Failure[]> {
  const why = whyNotStanding(names);
  if (why !== null)
    return [
      {
        code: 'postgres-standing',
        message: `${member}: synchronous_standby_names is '${names}', and its fence is a standing one: ${why}`,
        hint: "write stillpoint before your own standbys in postgresql.conf, synchronous_standby_names = 'FIRST 1 (stillpoint, NAME)', and reload the server",
      },
    ];
  const { needed, present } = await withoutOurs(client, names);
  if (present >= needed) return [];
  return [
    {
      code: 'postgres-standing-alone',
      message: `${member}: commits wait for ${needed} of '${names}', and ${present} of them stream besides stillpoint: with everything of ours killed they would wait for ever`,
      hint: 'start that standby, or name in the list one that streams (SELECT application_name FROM pg_stat_replication)',
    },
  ];
}
