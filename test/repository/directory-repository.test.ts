import { join } from 'node:path';
import { temporaryFolder } from '../lab/temporary.ts';
import { repositorySuite } from './repository-suite.ts';

repositorySuite('a directory', () => {
  const folder = temporaryFolder('repository');
  return { location: join(folder.path, 'made', 'anew'), remove: () => folder.remove() };
});
