import { InvalidArgumentError, type Command } from 'commander';
import type { RestoreDemands } from './restore-findings.ts';

/** As `crypto.randomUUID` makes them. */
const RESTORE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const MAP_HELP = 'a host of the checkpoint and its new host; repeatable';

export interface DemandOptions {
  readonly rewriteAddresses?: boolean;
  readonly allowOldAddresses?: boolean;
  readonly strict?: boolean;
}

/** What may be asked of the data besides; of a restore and of a drill. */
export function withDemands(command: Command): Command {
  return command
    .option(
      '--rewrite-addresses',
      'make what in the data leads to the old grid (foreign servers, subscriptions, …) lead to the restored one',
    )
    .option('--allow-old-addresses', 'with it: where something cannot be changed, tell it and go on')
    .option(
      '--strict',
      'end where anything is doubtful: damage, other collations, what could not be looked at',
    );
}

export function demandsOf(options: DemandOptions, command: Command): RestoreDemands {
  const { rewriteAddresses = false, allowOldAddresses = false, strict = false } = options;
  if (allowOldAddresses && !rewriteAddresses)
    command.error('error: --allow-old-addresses goes with --rewrite-addresses');
  return { rewriteAddresses, allowOldAddresses, strict };
}

export function parseRestoreId(text: string): string {
  if (RESTORE_ID.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError(
    'write the id of a restore: 32 digits and letters with dashes, as the error of that restore and the log of each agent have it',
  );
}

export function collectMap(text: string, maps: ReadonlyMap<string, string>): Map<string, string> {
  const match = /^([^=]+)=([^=]+)$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('write OLD=NEW: a host of the checkpoint, and its new host');
  return new Map(maps).set(match[1] ?? '', match[2] ?? '');
}
