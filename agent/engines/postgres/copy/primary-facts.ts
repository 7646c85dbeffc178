import type { Client } from 'pg';
import type { Mark } from '../../../../shared/domain/grid.ts';
import { readSubscriptions } from './collect.ts';
import type { PostgresFacts } from './facts.ts';
import { linkAt } from './left-out.ts';
import { formatLsn, type Lsn } from '../journal/lsn.ts';
import { configuredFiles } from '../look/configured-files.ts';
import { localesOf } from '../look/collations.ts';
import { lookIntoDatabases } from '../look/outbound.ts';
import { settingsInForce } from '../look/restart-pending.ts';
import { preparedAtMark, readNames, type PreparedTransaction } from './prepared-transactions.ts';
import type { ReceivedJournal } from '../journal/received-journal.ts';
import type { ServerFacts } from '../server/server-facts.ts';
import type { PostgresSettings } from '../settings.ts';
import type { PrimaryUndo } from '../fence/standby-setting.ts';

/** What the restore of a primary needs to know, as of its mark. */
export async function primaryFacts(input: {
  control: Client;
  settings: PostgresSettings;
  facts: ServerFacts;
  journal: ReceivedJournal;
  /** `start` is null where nothing was copied. */
  base: { readonly start: Lsn | null; readonly tablespaces: PostgresFacts['tablespaces'] };
  damagedPages: readonly string[];
  leftOut: PostgresFacts['leftOut'];
  preparedBefore: readonly PreparedTransaction[];
  preparedAfter: readonly PreparedTransaction[];
  /** The owner's `synchronous_standby_names` at the mark: hours may lie between it and the facts of the base copy. */
  owners: Pick<PrimaryUndo, 'original' | 'inAutoConf' | 'inFile'> | null;
  mark: Mark;
  markPosition: Lsn;
}): Promise<PostgresFacts> {
  const { control, settings, facts, base, owners, mark } = input;
  const { timeline } = input.journal.receiver;
  const prepared =
    facts.maxPrepared === 0
      ? { preparedAtMark: [], preparedEnded: [], preparedReused: [] }
      : await preparedAtMark({
          before: input.preparedBefore,
          after: input.preparedAfter,
          names: () => readNames(control),
          records: input.journal.store.preparedRecords(input.markPosition),
        });
  return {
    kind: 'primary',
    serverVersion: facts.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    timeline,
    walSegmentSizeBytes: facts.walSegmentSizeBytes,
    startPosition: base.start === null ? null : formatLsn(base.start),
    markPosition: mark.position,
    restorePoint: mark.name,
    synchronousStandbyNames: owners?.inFile ?? owners?.original ?? facts.standbyNames,
    synchronousStandbyNamesInAutoConf: owners?.inAutoConf ?? false,
    port: facts.port,
    listenAddresses: facts.listenAddresses,
    archiving: facts.archiving,
    subscriptions: await readSubscriptions(control),
    tablespaces: base.tablespaces,
    outsideFiles: facts.outsideFiles,
    also: settings.also,
    ...(await configuredFiles(control)),
    leftOut: input.leftOut,
    walLink: await linkAt(settings.data, 'pg_wal'),
    damagedPages: input.damagedPages,
    ...(await lookIntoDatabases(settings, control)),
    locales: await localesOf(control),
    inForce: await settingsInForce(control),
    ...prepared,
  };
}
