import type { Client } from 'pg';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { BaseCopy } from './archive-receiver.ts';
import { readSubscriptions } from './collect.ts';
import type { PostgresFacts } from './facts.ts';
import type { JournalReceiver } from './journal-receiver.ts';
import { formatLsn, type Lsn } from './lsn.ts';
import { preparedAtMark, readNames, type Prepared } from './prepared-transactions.ts';
import type { ServerFacts } from './server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import { transactionRecords } from './wal-records.ts';

/** What the restore of a primary needs to know, as of its mark. */
export async function primaryFacts(input: {
  control: Client;
  settings: PostgresSettings;
  facts: ServerFacts;
  receiver: JournalReceiver;
  base: BaseCopy;
  preparedBefore: readonly Prepared[];
  preparedAfter: readonly Prepared[];
  /** The owner's `synchronous_standby_names` at the mark: hours may lie between it and the facts of the base copy. */
  owners: { readonly original: string; readonly inAutoConf: boolean } | null;
  mark: Mark;
  markPosition: Lsn;
}): Promise<PostgresFacts> {
  const { control, settings, facts, receiver, base, mark } = input;
  const { directory, timeline, segmentBytes } = receiver;
  const prepared =
    facts.maxPrepared === 0
      ? { preparedAtMark: [], preparedEnded: [] }
      : await preparedAtMark({
          before: input.preparedBefore,
          after: input.preparedAfter,
          names: () => readNames(control),
          records: transactionRecords({
            directory,
            timeline,
            segmentBytes,
            serverVersion: facts.serverVersion,
            from: base.start,
            to: input.markPosition,
          }),
        });
  return {
    kind: 'primary',
    serverVersion: facts.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    timeline,
    walSegmentSizeBytes: facts.walSegmentSizeBytes,
    startPosition: formatLsn(base.start),
    markPosition: mark.position,
    restorePoint: mark.name,
    synchronousStandbyNames: input.owners?.original ?? facts.standbyNames,
    synchronousStandbyNamesInAutoConf:
      input.owners?.inAutoConf ?? facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
    port: facts.port,
    listenAddresses: facts.listenAddresses,
    archiving: facts.archiving,
    subscriptions: await readSubscriptions(control),
    tablespaces: base.tablespaces,
    outsideFiles: facts.outsideFiles,
    also: settings.also,
    ...prepared,
  };
}
