import { expect } from 'chai';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { postgresProgram } from '../../../../agent/engines/postgres/restore/programs.ts';
import { postgresMemberSchema } from '../../../../agent/engines/postgres/settings.ts';
import type { StillpointError } from '../../../../shared/domain/errors.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';

// Goal: the programs of a host are known by what they say of themselves, whoever has built them.

describe("the host's own PostgreSQL", () => {
  const folder = temporaryFolder('programs');
  after(() => folder.remove());

  function found(said: string, serverVersion: number): Promise<string> {
    const program = join(folder.path, 'postgres');
    writeFileSync(program, `#!/bin/sh\necho '${said}'\n`);
    chmodSync(program, 0o755);
    const settings = postgresMemberSchema.parse({
      name: 'aa',
      role: 'node',
      engine: 'postgres',
      address: '127.0.0.1:1',
      connection: 'postgresql://stillpoint@127.0.0.1:1/postgres',
      data: join(folder.path, 'data'),
      binaries: folder.path,
    });
    return postgresProgram(settings, serverVersion, null);
  }

  for (const [who, said, serverVersion] of [
    ['its own project', 'postgres (PostgreSQL) 18.4', 180_004],
    ['Debian', 'postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)', 150_018],
    ['Ubuntu', 'postgres (PostgreSQL) 16.4 (Ubuntu 16.4-0ubuntu0.24.04.2)', 160_004],
    ['the packages of the project', 'postgres (PostgreSQL) 17.2 (Debian 17.2-1.pgdg120+1)', 170_002],
    ['testers', 'postgres (PostgreSQL) 18beta1', 180_000],
    ['developers', 'postgres (PostgreSQL) 18devel', 180_000],
  ] as const) {
    it(`is taken where ${who} built it`, async () => {
      expect(await found(said, serverVersion)).to.equal(join(folder.path, 'postgres'));
    });
  }

  it('is refused where it is of another version, whatever number its package has', async () => {
    const error: unknown = await found('postgres (PostgreSQL) 14.9 (Debian 15.18-1)', 150_018).catch(
      (reason: unknown) => reason,
    );
    expect((error as StillpointError).failure.message).to.include('is of PostgreSQL 14, and the data of 15');
  });
});
