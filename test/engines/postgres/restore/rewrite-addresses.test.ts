import { expect } from 'chai';
import { Client } from 'pg';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import { leadsOf } from '../../../../agent/engines/postgres/look/leads.ts';
import { AddressBook } from '../../../../agent/engines/postgres/restore/address-book.ts';
import {
  planRewriting,
  rewriteAddresses,
} from '../../../../agent/engines/postgres/restore/rewrite-addresses.ts';
import type { NamedAddress } from '../../../../shared/domain/wire.ts';
import { postgresLab, versions, type PostgresLab } from '../lab.ts';

// Goal: what in the data of a restored server leads to the old grid leads to the restored one, whoever owns it and
// however it is written; what cannot be changed says why.
// Method: real servers with every kind of it; the journal of the private server is no matter here.

const MOVES = {
  members: [
    { from: 'shard-a:5432', to: 'new-a:5440' },
    { from: 'shard-b:5432', to: 'new-b:5432' },
    { from: 'shard-c:5433', to: '10.1.1.3:5433' },
  ],
  hosts: [],
};

for (const version of versions) {
  describe(`what leads to the old grid in a PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    const book = new AddressBook(MOVES, { wasHost: 'shard-a', host: 'new-a' }, (host) =>
      Promise.resolve(host === 'shard-c' ? ['10.0.0.3'] : []),
    );
    let named: NamedAddress[];

    before(async () => {
      lab = await postgresLab(version, { templates: true, settings: ['wal_level = logical'] });
      await lab.server.query("CREATE DATABASE odd LOCALE 'C' TEMPLATE template0");
      await fill(lab);
    });
    after(() => lab.remove());

    function connect(database: string): Promise<Client> {
      const { host, port } = lab.server;
      const client = new Client({ host, port, user: 'postgres', database });
      return client.connect().then(() => client);
    }

    async function inOdd<T>(work: (client: Client) => Promise<T>): Promise<T> {
      const client = await connect('odd');
      try {
        await client.query('SET search_path = pg_catalog');
        return await work(client);
      } finally {
        await client.end();
      }
    }

    function rowOf(kind: string, name: string): NamedAddress {
      const found = named.find((one) => one.kind.startsWith(kind) && one.name === name);
      if (found === undefined) throw new Error(`${kind} ${name} is not among ${JSON.stringify(named)}`);
      return found;
    }

    it('is planned from what the checkpoint knows, and nothing is changed by that', async () => {
      const outbound = await inOdd((client) => leadsOf(client, 'odd'));
      const facts = {
        outbound: outbound.filter(({ kind }) => kind !== 'subscription'),
        subscriptions: [{ database: 'odd', name: 'Sub"s', enabled: false }],
      } as Pick<PostgresFacts, 'outbound' | 'subscriptions'>;
      named = await planRewriting(facts, book);
      expect(rowOf('foreign server', 'b')).to.include({ state: 'planned', to: 'new-b:5432' });
      expect(rowOf('function', 'public.reach()')).to.include({ state: 'left' });
      expect(rowOf('subscription', 'Sub"s')).to.include({ state: 'unseen' });
      const after = await inOdd((client) => leadsOf(client, 'odd'));
      expect(after.map(({ address }) => address)).to.deep.equal(outbound.map(({ address }) => address));
    });

    it('is changed where it can be, also against event triggers, and read back', async () => {
      const looked = { name: 'aa', data: lab.server.data, connect };
      named = await rewriteAddresses(looked, ['postgres', 'odd'], book);
      const states = Object.fromEntries(
        named.map(({ kind, name, state, to }) => [`${kind} ${name}`, `${state} ${to}`]),
      );
      expect(states).to.deep.equal({
        'foreign server (dblink_fdw) near': 'changed the local server:5440',
        'foreign server (postgres_fdw) b': 'changed new-b:5432',
        'foreign server (postgres_fdw) b again': 'changed new-b:5432',
        'foreign server (postgres_fdw) many': 'changed other:5432, 10.1.1.3:5433',
        "foreign server (postgres_fdw) o'dd": 'changed 10.1.1.3:5433',
        'foreign server (postgres_fdw) outside': 'outside ',
        'foreign server (postgres_fdw) via service': 'outside ',
        'foreign server (made_up) url': 'left ',
        'foreign server (made_up) plain': 'changed new-b',
        'user mapping (made_up) for postgres on plain': 'changed new-b',
        'foreign table (made_up) public.far': 'changed new-b',
        'subscription Sub"s': 'changed new-b:5432',
        'node of Citus 1': 'changed new-a:5440',
        'node of Citus 2': 'outside ',
        'job of pg_cron (5 * * * *) 7': 'changed localhost:5440',
        'function (dblink) public.reach()': 'left ',
        'view (dblink) public.reached': 'left ',
      });
      expect(rowOf('function', 'public.reach()').why).to.include('only its owner');
      expect(rowOf('foreign server', 'outside').why).to.include('no --map names it');
      expect(JSON.stringify(named)).not.to.include('secret');
    });

    it('has all else that it had', async () => {
      const { rows } = await inOdd((client) =>
        client.query<{ name: string; options: string[] }>(
          'SELECT srvname AS name, srvoptions AS options FROM pg_foreign_server ORDER BY 1',
        ),
      );
      const options = Object.fromEntries(rows.map((row) => [row.name, row.options]));
      expect(options['b']).to.have.members(['dbname=x=y', 'host=new-b']);
      expect(options["o'dd"]).to.have.members(['host=10.1.1.3', 'hostaddr=10.1.1.3', 'port=5433']);
      expect(options['near']).to.have.members(['dbname=app', 'port=5440']);
      const { rows: subscriptions } = await inOdd((client) =>
        client.query<{ conninfo: string; enabled: boolean }>(
          'SELECT subconninfo AS conninfo, subenabled AS enabled FROM pg_subscription',
        ),
      );
      expect(subscriptions[0]?.conninfo).to.include("password='it\\'s secret'").and.include("host='new-b'");
      expect(subscriptions[0]?.enabled).to.equal(false);
    });

    it('is changed once: what leads to the restored grid is kept', async () => {
      const looked = { name: 'aa', data: lab.server.data, connect };
      const moved = new AddressBook(
        { members: [...MOVES.members, ...MOVES.members.map(({ to }) => ({ from: to, to }))], hosts: [] },
        { wasHost: 'new-a', host: 'new-a' },
        () => Promise.resolve([]),
      );
      named = await rewriteAddresses(looked, ['odd'], moved);
      expect(named.filter(({ state }) => state === 'changed')).to.deep.equal([]);
      expect(rowOf('foreign server', 'b').state).to.equal('kept');
    });

    it('is left, with the cause, where a transaction that stands prepared holds it', async function () {
      this.timeout(60_000);
      await inOdd(async (client) => {
        await client.query('ALTER EVENT TRIGGER no_changes DISABLE');
        await client.query("CREATE SERVER held FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'shard-b')");
        await client.query("BEGIN; ALTER SERVER held OPTIONS (ADD dbname 'x'); PREPARE TRANSACTION 'holds'");
      });
      const looked = { name: 'aa', data: lab.server.data, connect };
      named = await rewriteAddresses(looked, ['odd'], book);
      expect(rowOf('foreign server', 'held')).to.include({ state: 'left' });
      expect(rowOf('foreign server', 'held').why).to.match(/lock timeout|tuple concurrently updated/);
      await inOdd((client) => client.query("ROLLBACK PREPARED 'holds'"));
    });
  });
}

async function fill({ server }: PostgresLab): Promise<void> {
  const client = new Client({ host: server.host, port: server.port, user: 'postgres', database: 'odd' });
  await client.connect();
  try {
    await client.query(`
      SET allow_system_table_mods = on;
      CREATE ROLE owner; CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink;
      GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO owner; GRANT CREATE ON DATABASE odd TO owner;
      SET ROLE owner;
      CREATE SERVER b FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'shard-b', dbname 'x=y');
      CREATE SERVER "b again" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'shard-b', port '5432');
      RESET ROLE;
      CREATE SERVER "o'dd" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'certificate', hostaddr '10.0.0.3', port '5433');
      CREATE SERVER many FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'other,shard-c', port '5432,5433');
      CREATE SERVER outside FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'elsewhere');
      CREATE SERVER "via service" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (service 'orders');
      CREATE SERVER near FOREIGN DATA WRAPPER dblink_fdw OPTIONS (dbname 'app');
      CREATE FOREIGN DATA WRAPPER made_up;
      CREATE SERVER url FOREIGN DATA WRAPPER made_up OPTIONS (url 'http://joe:secret@shard-b:80/x');
      CREATE SERVER plain FOREIGN DATA WRAPPER made_up OPTIONS (address 'shard-b');
      CREATE USER MAPPING FOR postgres SERVER plain OPTIONS (host 'shard-b', password 'secret');
      CREATE FOREIGN TABLE far (x int) SERVER plain OPTIONS (server 'shard-b');
      CREATE SUBSCRIPTION "Sub""s" CONNECTION 'host=shard-b password=''it\\''s secret''' PUBLICATION p
        WITH (connect = false, slot_name = NONE);
      CREATE TABLE pg_catalog.pg_dist_node AS SELECT * FROM (VALUES (1, 'shard-a', 5432), (2, 'worker-b', 5433)) AS n (nodeid, nodename, nodeport);
      CREATE SCHEMA cron;
      CREATE TABLE cron.job AS SELECT 7 AS jobid, 'localhost' AS nodename, 5432 AS nodeport, '5 * * * *' AS schedule;
      CREATE FUNCTION trigger_of_owner() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no writes here'; END$$;
      CREATE TRIGGER guard BEFORE UPDATE ON cron.job FOR EACH ROW EXECUTE FUNCTION trigger_of_owner();
      CREATE FUNCTION reach() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM dblink_exec('port=5433 host=shard-c password=secret', 'SELECT 1'); END$$;
      CREATE VIEW reached AS SELECT * FROM dblink('postgresql://a:secret@shard-b/app', 'SELECT 1') AS x (y int);
      CREATE FUNCTION no_changes() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no changes here'; END$$;
      CREATE EVENT TRIGGER no_changes ON ddl_command_start WHEN TAG IN ('ALTER SERVER', 'ALTER SUBSCRIPTION') EXECUTE FUNCTION no_changes();`);
  } finally {
    await client.end();
  }
}
