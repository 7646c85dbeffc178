import { EXIT, StillpointError } from '../domain/errors.ts';
import type { KeptDocument } from './document.ts';
import { isFinal } from './phase.ts';

/** The archive of a Backup goes with it: throws `backup-in-use` where one of these Restores needs it still. */
export function mustNotBeRead(backup: KeptDocument, all: readonly KeptDocument[]): void {
  const { name } = backup.metadata;
  const reader = all.find(
    (one) =>
      backup.kind === 'Backup' &&
      one.kind === 'Restore' &&
      one.spec.backup === name &&
      !isFinal(one.status.phase),
  );
  if (reader === undefined) return;
  const restore = reader.metadata.name;
  throw new StillpointError(
    {
      code: 'backup-in-use',
      message: `Backup ${name} is read by Restore ${restore}, which has not ended`,
      hint: `wait until stillpoint get restore ${restore} says Succeeded or Failed, or delete that first`,
    },
    EXIT.refused,
  );
}
