import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Owner } from '../../../foreign-files.ts';
import { ownerOf } from '../../restore/owner.ts';
import type { PostgresSettings } from '../settings.ts';

/** Whose the server's files and processes are. Never root's. Null: we are not root, and they are our own. */
export async function serverOwner(settings: PostgresSettings): Promise<Owner | null> {
  const owner = await ownerOf(settings);
  if (owner?.uid !== 0) return owner;
  throw new StillpointError({
    code: 'postgres-owner',
    message: `${settings.name} would belong to root, and PostgreSQL does not run as root`,
    hint: 'name its user in the agent file: owner: postgres',
  });
}
