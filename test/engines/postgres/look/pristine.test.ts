import { expect } from 'chai';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isPristine } from '../../../../agent/engines/postgres/look/pristine.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';
import { postgresLab, versions, type PostgresLab } from '../lab.ts';

// Goal: a cluster that packages made, and nobody has used, does not stand in the way of a restore; any other does.
describe('a cluster that does not run', () => {
  for (const version of versions) {
    describe(`of PostgreSQL ${version}`, () => {
      let lab: PostgresLab;

      beforeEach(async () => {
        lab = await postgresLab(version, { templates: true });
        await lab.server.query('DROP TABLE entry');
        await lab.server.query('CHECKPOINT');
      });

      afterEach(() => lab.remove());

      const identity = async (): Promise<string> => {
        lab.server.stop();
        return (await lab.engine.describe(AbortSignal.timeout(10_000))).dataIdentity;
      };

      it('says no identity as long as nobody has anything in it, roles apart', async () => {
        expect(await identity()).to.equal('');
      });

      it('says which it is when it has a table', async () => {
        await lab.server.query('CREATE TABLE of_somebody ()');
        expect(await identity()).to.match(/^\d{19}$/);
      });

      it('says which it is when it has another database', async () => {
        await lab.server.query('CREATE DATABASE of_somebody');
        expect(await identity()).to.match(/^\d{19}$/);
      });
    });
  }

  it('is taken for used where its files cannot be seen', async () => {
    const folder = temporaryFolder('pristine');
    try {
      mkdirSync(join(folder.path, 'base'));
      expect(await isPristine(folder.path)).to.equal(false);
    } finally {
      folder.remove();
    }
  });
});
