import { expect } from 'chai';
import { postgresLab, versions, type PostgresLab } from '../lab.ts';

// Goal: a server whose size takes long to find out, as one with very many files in cold caches, is described all the
// same: the size has a bound of its own, and nothing of the look is lost with it.
// Method: the server's own function that says the size of a database is put behind one that takes a minute.

for (const version of versions) {
  describe(`a PostgreSQL ${version} that does not say its size in time`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version);
      await lab.server.query(`
        SET allow_system_table_mods = on;
        ALTER FUNCTION pg_catalog.pg_database_size(oid) RENAME TO pg_database_size_in_time;
        CREATE FUNCTION pg_catalog.pg_database_size(oid) RETURNS bigint LANGUAGE plpgsql
          AS 'BEGIN PERFORM pg_catalog.pg_sleep(60); RETURN 1; END'`);
    });
    after(() => lab.remove());

    it('is described within the bound, as one of unknown size, and the rest of the look goes on', async () => {
      const { running, problems, sizeBytes, dataIdentity, viewing } = await lab.engine.describe(
        new AbortController().signal,
      );
      expect({ running, problems, sizeBytes }).to.deep.equal({ running: true, problems: [], sizeBytes: 0 });
      expect(dataIdentity).not.to.equal('');
      expect(viewing).not.to.equal(undefined);
      // Nothing of it goes on in the server.
      expect(
        await lab.server.query(
          "SELECT query FROM pg_stat_activity WHERE query LIKE '%pg_database_size%' AND state = 'active' AND pid <> pg_backend_pid()",
        ),
      ).to.deep.equal([]);
    });
  });
}
