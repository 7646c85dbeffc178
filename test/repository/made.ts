import { initRepository, openRepository } from '../../shared/repository/open.ts';
import type { Repository } from '../../shared/repository/repository.ts';

/** A repository at this place: made where there is none, as `stillpoint repository init` does, and opened. */
export async function madeRepository(
  location: string,
  options: Parameters<typeof openRepository>[1] = {},
): Promise<Repository> {
  await initRepository(location);
  return openRepository(location, options);
}
