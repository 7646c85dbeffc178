import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { connect } from '../../../../agent/engines/postgres/server/connection.ts';
import { readServerFacts, readSizeBytes } from '../../../../agent/engines/postgres/server/server-facts.ts';
import { postgresLab, type PostgresLab } from '../lab.ts';

// Goal: a database of so many files that its size takes minutes to find is described and armed as quickly as another.

const FILES = 20_000;

describe('the size of a PostgreSQL server with very many files', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
    const [row] = await lab.server.query<{ oid: number }>(
      "SELECT oid::int FROM pg_database WHERE datname = 'postgres'",
    );
    for (let number = 0; number < FILES; number += 1)
      writeFileSync(join(lab.server.data, 'base', String(row?.oid), `x${number}`), '');
  });
  after(() => lab.remove());

  it('is not known where it takes longer than it may, and no statement after that has its limit', async () => {
    // A limit of its owner's, which no session of ours has.
    await lab.server.query("ALTER ROLE stillpoint SET statement_timeout = '40ms'");
    const client = await connect(lab.settings, { applicationName: 'test', asOthers: true });
    try {
      const size = await readSizeBytes(client, 1);
      const { rows } = await client.query<{ limit: string }>(
        "SELECT current_setting('statement_timeout') AS limit FROM pg_sleep(0.05)",
      );
      const facts = await readServerFacts(client);

      expect(size).to.equal(0);
      expect(rows).to.deep.equal([{ limit: '0' }]);
      expect(facts).to.not.have.property('sizeBytes');
    } finally {
      await client.end();
      await lab.server.query('ALTER ROLE stillpoint RESET statement_timeout');
    }
  });

  it('is asked for in preflight alone: what arms a server does not wait for it', async () => {
    const { sizeBytes, problems } = await lab.engine.describe(AbortSignal.timeout(10_000));

    expect(problems).to.deep.equal([]);
    expect(sizeBytes).to.be.greaterThan(0);
  });
});
