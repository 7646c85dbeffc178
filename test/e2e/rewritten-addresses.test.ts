import { expect } from 'chai';
import { Client } from 'pg';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import type { PostgresServer, PostgresVersion } from '../lab/postgres.ts';

// Goal: a copy restored beside the living grid never writes into it, where the operator asks for that.
// Method: shard A of the living grid writes to shard B through postgres_fdw; both are restored elsewhere while it runs.

const COPYSETS = [
  { name: 'orders', hosts: [0] },
  { name: 'ledger', hosts: [1] },
];
const MAPS = ['--map', '127.0.74.1=127.0.75.1', '--map', '127.0.74.2=127.0.75.2'];
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

for (const version of ['15', '18'] satisfies PostgresVersion[]) {
  describe(`a grid of PostgreSQL ${version} whose shards name each other`, () => {
    let grid: TestGrid;
    let other: TestGrid;

    before(async () => {
      grid = await createGrid({
        version,
        templates: true,
        hosts: ['127.0.74.1', '127.0.74.2'],
        copysets: COPYSETS,
      });
      other = await createGrid({
        version,
        beside: grid,
        empty: true,
        hosts: ['127.0.75.1', '127.0.75.2'],
        copysets: COPYSETS,
      });
      const [a, b] = [grid.member('ordersa').server, grid.member('ledgera').server];
      await b.query('CREATE TABLE entry (x int)');
      await a.query(`
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER b FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '${b.host}', port '${b.port}', dbname 'postgres');
        CREATE USER MAPPING FOR postgres SERVER b OPTIONS (user 'postgres');
        CREATE FOREIGN TABLE entry (x int) SERVER b;`);
      // The agent's role does not see into it: only the restore does.
      await a.query("CREATE DATABASE hidden LOCALE 'C' TEMPLATE template0");
      await a.query('REVOKE CONNECT ON DATABASE hidden FROM PUBLIC');
      await inDatabase(
        a,
        'hidden',
        `
        CREATE FUNCTION reach() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM dblink_exec('host=${b.host} port=${b.port}', ''); END$$;`,
      );
      const { code, stderr } = await grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
      expect(code, stderr).to.equal(0);
    });

    after(async () => {
      await other?.close();
      await grid?.close();
    });

    function restore(...more: string[]): ReturnType<TestGrid['run']> {
      return other.run(['restore', 'nightly', ...JSON_OUTPUT, ...MAPS, ...more]);
    }

    it('is planned with what would be changed', async () => {
      const { code, stdout, stderr } = await restore('--dry-run', '--rewrite-addresses');
      expect(code, stderr + stdout).to.equal(0);
      const { addresses, warnings } = JSON.parse(stdout) as RestoreReport;
      const b = other.member('ledgera').server;
      expect(addresses).to.have.length(1);
      expect(addresses[0]).to.include({
        member: 'ordersa',
        kind: 'foreign server (postgres_fdw)',
        name: 'b',
        state: 'planned',
        to: `${b.host}:${b.port}`,
      });
      expect(warnings.join('\n')).not.to.include('leads to');
    });

    it('is not restored where something leads to the living grid still and cannot be changed, and nothing is left of it', async () => {
      const { code, json } = await restore('--rewrite-addresses', '--yes');
      expect(code).to.equal(7);
      expect(json).to.have.nested.property('error.code', 'addresses-left');
      expect(json)
        .to.have.nested.property('error.message')
        .that.includes('in database hidden: function (dblink) public.reach()');
      expect(other.member('ordersa').server.postmasterPid()).to.equal(null);
    });

    it('writes into itself and no more into the living one when it is restored, and all of it is told', async () => {
      const { code, stdout, stderr } = await restore('--rewrite-addresses', '--allow-old-addresses', '--yes');
      expect(code, stderr + stdout).to.equal(0);
      const { addresses } = JSON.parse(stdout) as RestoreReport;
      expect(addresses.map(({ name, state }) => `${name} ${state}`)).to.have.members([
        'b changed',
        'public.reach() left',
      ]);
      await other.member('ordersa').server.query('INSERT INTO entry VALUES (1)');
      expect(await other.member('ledgera').server.query('SELECT x FROM entry')).to.deep.equal([{ x: 1 }]);
      expect(await grid.member('ledgera').server.query('SELECT x FROM entry')).to.deep.equal([]);
    });
  });
}

async function inDatabase(server: PostgresServer, database: string, sql: string): Promise<void> {
  const client = new Client({ host: server.host, port: server.port, user: 'postgres', database });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
