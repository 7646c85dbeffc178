import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';

/** A name that no cache has: who may not ignore caches is refused all the same. */
const NO_CACHE = 'stillpoint-has-no-such-cache';

/** A checkpoint takes the rights of an administrator: each kind of call is made once, with a name that is nothing's. */
export async function mustBeAdministrator(server: InfinispanServer, signal: AbortSignal): Promise<void> {
  await server.unIgnore(NO_CACHE, signal);
  await server.deleteBackup(NO_CACHE, signal);
}

/** What keeps the agent from its work, asked with its own user; null where nothing does. */
export async function whyNoAdministrator(
  settings: ServerSettings,
  signal: AbortSignal,
): Promise<Failure | null> {
  const server = new InfinispanServer(settings);
  try {
    await mustBeAdministrator(server, signal);
    return null;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  } finally {
    server.close();
  }
}
