import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { escapeIdentifier } from 'pg';
import type { Failure } from '../../../../shared/domain/errors.ts';
import { readConnectionUrl } from '../../../../agent/engines/postgres/server/connection-url.ts';
import { connect } from '../../../../agent/engines/postgres/server/connection.ts';
import { postgresMemberSchema } from '../../../../agent/engines/postgres/settings.ts';
import { failureOf } from '../../../repository/samples.ts';
import { postgresLab, until, type PostgresLab } from '../lab.ts';

// Goal: names that a server allows are allowed in `connection` too, written as any URL has them.

describe('the connection of a member', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18', { templates: true });
  });
  after(() => lab.remove());

  const url = (role: string, database: string): string => {
    const { host, port } = lab.server;
    return `postgresql://${encodeURIComponent(role)}@${host}:${port}/${encodeURIComponent(database)}`;
  };

  for (const name of ['a/b#c?d=e&f', 'a+b@c:d;e,$f', '%41', '%2F', 'it\'s "\\" 1\n2', 'é'.repeat(31)]) {
    it(`reaches a database and a role that are called ${JSON.stringify(name)}`, async () => {
      await lab.server.query(`CREATE DATABASE ${escapeIdentifier(name)}`);
      await lab.server.query(`CREATE ROLE ${escapeIdentifier(name)} LOGIN REPLICATION`);
      for (const replication of [{}, { replication: 'database' }] as const) {
        const connection = url(name, name);
        const client = await connect({ name: 'aa', connection }, { applicationName: 'test', ...replication });
        const { rows } = await client.query('SELECT current_database() AS database, current_user AS role');
        await client.end();

        expect(rows).to.deep.equal([{ database: name, role: name }]);
      }
    });
  }

  const sockets = [
    [
      'among the parameters',
      (folder: string, port: number) => `postgresql://stillpoint@/postgres?host=${folder}&port=${port}`,
    ],
    [
      'among them, encoded',
      (folder: string, port: number) =>
        `postgres://stillpoint@/postgres?port=${port}&host=${encodeURIComponent(folder)}`,
    ],
    [
      'in the place of the host',
      (folder: string, port: number) =>
        `postgresql://stillpoint@${encodeURIComponent(folder)}:${port}/postgres`,
    ],
    [
      'behind a port',
      (folder: string, port: number) => `postgresql://stillpoint@:${port}/postgres?host=${folder}`,
    ],
  ] as const;
  for (const [where, write] of sockets) {
    it(`goes over a Unix socket whose directory stands ${where}`, async () => {
      const folder = lab.server.data;
      await lab.server.query(`ALTER SYSTEM SET unix_socket_directories = '${folder}'`);
      lab.server.stop();
      writeFileSync(
        join(folder, 'pg_hba.conf'),
        'local all all trust\nlocal replication all trust\nhost all postgres all trust\n',
      );
      await lab.server.start();
      const connection = readConnectionUrl(write(folder, lab.server.port)) ?? 'none';
      for (const replication of [{}, { replication: 'database' }, { replication: 'physical' }] as const) {
        const client = await connect({ name: 'aa', connection }, { applicationName: 'test', ...replication });
        if (replication.replication === undefined) {
          const { rows } = await client.query('SELECT inet_client_addr() AS address, current_user AS role');
          expect(rows).to.deep.equal([{ address: null, role: 'stillpoint' }]);
        }
        await client.end();
      }
    });
  }

  it('over a Unix socket is refused with what mends it: the place of the socket, the lines of pg_hba.conf', async () => {
    const at = (folder: string, role: string): string =>
      readConnectionUrl(`postgresql://${role}@/postgres?host=${folder}&port=${lab.server.port}`) ?? 'none';
    const failureAt = (connection: string): Promise<Failure> =>
      failureOf(connect({ name: 'aa', connection }, { applicationName: 'test' }));
    writeFileSync(join(lab.server.data, 'pg_hba.conf'), 'local all all peer\nhost all postgres all trust\n');
    await lab.server.query('SELECT pg_reload_conf()');

    const nowhere = await failureAt(at('/nowhere', 'stillpoint'));
    const peer = await failureAt(at(lab.server.data, 'stillpoint'));

    expect(nowhere.code).to.equal('postgres-unreachable');
    expect(nowhere.message).to.include(`/nowhere/.s.PGSQL.${lab.server.port}`);
    expect(nowhere.hint).to.include('unix_socket_directories');
    expect(peer.code).to.equal('postgres-hba');
    expect(peer.hint).to.match(/local all stillpoint .*peer map=stillpoint.*pg_ident\.conf/);
  });

  it('takes statements that are given to it at once one after another, and nothing is printed of it', async () => {
    // In a process of its own: the driver warns once, and another test may have been warned.
    const module = new URL('../../../../agent/engines/postgres/server/connection.ts', import.meta.url).href;
    const settings = { name: 'aa', connection: url('postgres', 'postgres') };
    const script = `
      import { connect } from '${module}';
      const client = await connect(${JSON.stringify(settings)}, { applicationName: 'test' });
      const ended = [];
      const statement = (name, sql) => client.query(sql).then(() => ended.push(name), () => ended.push(name + ' failed'));
      await Promise.all([
        statement('slow', 'SELECT pg_sleep(0.2)'), statement('wrong', 'SELECT 1/0'), statement('quick', 'SELECT 1'),
        statement('last', 'SELECT 2'),
      ]);
      await client.end();
      process.stdout.write(ended.join(', '));`;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '--eval',
      script,
    ]);

    expect({ stdout, stderr }).to.deep.equal({ stdout: 'slow, wrong failed, quick, last', stderr: '' });
  });

  it('rejects a statement that waits for another when the connection is lost', async () => {
    const client = await connect(
      { name: 'aa', connection: url('postgres', 'postgres') },
      { applicationName: 'lost' },
    );
    const waiting = [client.query('SELECT pg_sleep(60)'), client.query('SELECT 1'), client.query('SELECT 2')];
    const outcomes = Promise.allSettled(waiting);
    await until('the first to begin', async () => {
      const rows = await lab.server.query(
        "SELECT FROM pg_stat_activity WHERE application_name = 'lost' AND wait_event = 'PgSleep'",
      );
      return rows.length === 1;
    });
    await lab.server.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lost'",
    );

    expect((await outcomes).map(({ status }) => status)).to.deep.equal(['rejected', 'rejected', 'rejected']);
  });

  it('is refused with the file where that names what cannot be read', async () => {
    const connection = `${url('postgres', 'postgres')}?sslrootcert=/nowhere/ca.pem`;
    const failure = await connect({ name: 'aa', connection }, { applicationName: 'test' }).catch(
      (error: unknown) => error,
    );

    expect(failure).to.have.nested.property('failure.code', 'postgres-connection');
    expect(failure).to.have.nested.property('failure.message').that.includes('/nowhere/ca.pem');
  });

  it('is a mistake in the file where it cannot be decoded', () => {
    const member = {
      name: 'aa',
      role: 'node',
      copyset: 'a',
      engine: 'postgres',
      data: '/data',
      run: undefined,
    };
    const parse = (connection: string): boolean =>
      postgresMemberSchema.safeParse({ ...member, address: 'h:1', connection }).success;

    expect(parse('postgresql://ro%25le@h:1/%2F')).to.equal(true);
    expect(parse('postgresql://ro%zzle@h:1/postgres')).to.equal(false);
    expect(parse('postgresql://role@h:1/%ff')).to.equal(false);
    expect(parse('postgresql://role@/postgres?host=/run/postgresql&port=none')).to.equal(false);
    expect(parse('mysql:///postgres?host=/run/postgresql')).to.equal(false);
  });
});
