import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** FirstNormalObjectId (src/include/access/transam.h): what initdb makes has smaller numbers. */
const FIRST_OF_USERS = 16_384;

/**
 * Whether a cluster that does not run is as initdb left it, as the packages of distributions make one with the server:
 * no database, table or tablespace of anybody's. False where that cannot be seen.
 */
export async function isPristine(data: string): Promise<boolean> {
  try {
    if ((await readdir(join(data, 'pg_tblspc'))).length > 0) return false;
    const databases = await readdir(join(data, 'base'));
    if (databases.length === 0 || databases.some(isOfUsers)) return false;
    const files = await Promise.all(databases.map((name) => readdir(join(data, 'base', name))));
    return !files.flat().some(isOfUsers);
  } catch {
    return false;
  }
}

function isOfUsers(name: string): boolean {
  return Number.parseInt(name, 10) >= FIRST_OF_USERS;
}
