import type { Client } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import type { Abilities } from '../../../../shared/domain/purpose.ts';
import { missingForQuiesce } from './privileges.ts';
import type { PostgresSettings } from '../settings.ts';

/**
 * What a server can be held for besides a checkpoint. Its commits can be made to wait for as long as it takes; its reads
 * cannot, and none of its processes that write database files can be suspended without its clients.
 */
export async function readAbilities(
  client: Client,
  settings: Pick<PostgresSettings, 'name' | 'fence'>,
  server: { readonly inRecovery: boolean },
): Promise<Abilities> {
  // A standby writes nothing of its own accord: its replay is paused.
  const [lacking] = server.inRecovery ? [] : await missingForQuiesce(client);
  return abilitiesOf(settings.name, lacking ?? null);
}

/** `lacking`: what the role may not do that every quiesce does. */
export function abilitiesOf(member: string, lacking: Failure | null): Abilities {
  return {
    journalCheckpoint: null,
    quiesce: {
      code: 'reads-go-on',
      message: `${member}: PostgreSQL has nothing that makes all of its reads wait`,
      hint: 'stillpoint quiesce --allow-reads: commits wait, and what they wrote is on disk; or shut every server down, and copy it then',
    },
    quiesceAllowingReads: lacking,
    freeze: {
      code: 'freeze-unsupported',
      message: `${member}: PostgreSQL has no write daemon that can be suspended while its clients go on`,
      hint: 'take base backups at any time, one after another (pg_basebackup, pgBackRest), and then stillpoint journal-checkpoint: the journal brings all of them to that moment',
    },
  };
}
