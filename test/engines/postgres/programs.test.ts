import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { postgresProgram } from '../../../agent/engines/postgres/restore/programs.ts';
import type { PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import type { StillpointError } from '../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: a restore finds the version of the host's own programs, whoever built them.
// Method: programs that say what those of distributions say.
describe('the postgres of a host', () => {
  const folder = temporaryFolder('programs');
  const settings = { name: 'a', binaries: folder.path } as PostgresSettings;

  after(() => folder.remove());

  const programSays = (words: string): void =>
    writeFileSync(join(folder.path, 'postgres'), `#!/bin/sh\necho '${words}'\n`, { mode: 0o755 });

  for (const [built, words] of [
    ['from source', 'postgres (PostgreSQL) 15.18'],
    ['by Debian', 'postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'],
    ['by PGDG', 'postgres (PostgreSQL) 15.4 (Ubuntu 15.4-2.pgdg22.04+1)'],
    ['before its first release', 'postgres (PostgreSQL) 15beta2'],
  ] as const) {
    it(`is of the version that it says when it was built ${built}`, async () => {
      programSays(words);
      expect(await postgresProgram(settings, 150_018, null)).to.equal(join(folder.path, 'postgres'));
    });
  }

  it('is refused when it is of another version', async () => {
    programSays('postgres (PostgreSQL) 16.4 (Debian 15.18-0+deb12u1)');
    const refused: unknown = await postgresProgram(settings, 150_018, null).catch((error: unknown) => error);
    expect((refused as StillpointError).failure.message).to.contain(
      'is of PostgreSQL 16, and the data of 15',
    );
  });
});
