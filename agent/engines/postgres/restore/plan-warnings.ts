import type { Warning } from '../../../../shared/domain/warning.ts';
import type { PostgresFacts } from '../copy/facts.ts';
import { damagedPageWarnings } from '../copy/copy-warnings.ts';
import { restartWarnings } from '../look/restart-pending.ts';
import { outboundWarnings } from '../look/outbound.ts';
import type { PostgresSettings } from '../settings.ts';

/**
 * What a restore of this checkpoint leaves to its operator, as far as the checkpoint knows. `outbound`: also what leads
 * to other servers.
 */
export function planWarnings(
  settings: PostgresSettings,
  source: PostgresFacts,
  { outbound }: { readonly outbound: boolean },
): Warning[] {
  const warnings: Warning[] = [];
  const about = settings.name;
  const { archiving, subscriptions, outsideFiles, also } = source;
  if (archiving) {
    warnings.push({
      code: 'postgres-archiving-held',
      about,
      text: 'archiving is off (archive_mode), so that it does not write into the old archive',
      hint: 'name a new one, then ALTER SYSTEM RESET archive_mode and restart',
    });
  }
  for (const { database, name } of subscriptions) {
    warnings.push({
      code: 'postgres-subscription-held',
      about,
      text: `subscription ${name} in database ${database} is held (max_logical_replication_workers = 0)`,
      hint: `ALTER SUBSCRIPTION ${name} DISABLE or give it a new CONNECTION, then ALTER SYSTEM RESET max_logical_replication_workers and restart`,
    });
  }
  if (outsideFiles.length > 0 && also.length === 0) {
    warnings.push({
      code: 'postgres-file-missing',
      about,
      text: `${outsideFiles.join(', ')} lay outside the data directory and are not in the checkpoint`,
      hint: "bring them yourself, and name their directory in 'also' for the next checkpoint",
    });
  }
  for (const { path, target, stored } of source.leftOut)
    warnings.push(
      stored
        ? {
            code: 'postgres-link-replaced',
            about,
            text: `${path} was a link to ${target}, and is a file of its own here, as it was when the checkpoint was taken`,
            hint: 'put it where you keep it, and the link back in its place',
          }
        : {
            code: 'postgres-file-missing',
            about,
            text: `${path} was a link to ${target}, which is not in the checkpoint`,
            hint: 'bring it yourself before the server needs it',
          },
    );
  warnings.push(...damagedPageWarnings(about, source.damagedPages));
  warnings.push(...restartWarnings(about, source.inForce, 'restored'));
  if (outbound) warnings.push(...outboundWarnings(about, source.outbound));
  return warnings;
}
