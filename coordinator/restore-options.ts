import { InvalidArgumentError } from 'commander';

/** As `crypto.randomUUID` makes them. */
const RESTORE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const MAP_HELP = 'a host of the checkpoint and its new host; repeatable';

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
