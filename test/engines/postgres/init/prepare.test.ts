import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { preparePostgres } from '../../../../agent/engines/postgres/init/prepare.ts';
import type { PostgresSettings } from '../../../../agent/engines/postgres/settings.ts';
import { failureOf } from '../../../../shared/domain/errors.ts';
import { postgresServer, serverUser, type PostgresServer } from '../../../lab/postgres.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';
import { settingsFor } from '../lab.ts';

// Goal: init gives a server all that an agent needs, once, and nothing that its owner has not.
// Method: a real server that lets its own user in over its socket, and nobody else.
describe('a PostgreSQL server that is prepared for its agent', () => {
  const user = serverUser?.name ?? process.env['USER'] ?? '';
  const folder = temporaryFolder('prepare');
  let server: PostgresServer;
  let settings: PostgresSettings;
  const hba = (): string => join(server.data, 'pg_hba.conf');

  before(async () => {
    const secrets = join(folder.path, 'etc');
    mkdirSync(secrets, { mode: 0o700 });
    server = await postgresServer({
      version: '18',
      data: join(folder.path, 'data'),
      host: '127.0.0.1',
      settings: ['fsync = off', `unix_socket_directories = '${join(folder.path, 'data')}'`],
    });
    writeFileSync(hba(), `local all ${user} peer\nhost all postgres 127.0.0.0/8 trust\n`);
    await server.start();
    await server.query(`CREATE ROLE "${user}" SUPERUSER LOGIN`);
    settings = settingsFor(server, {
      passwordFile: join(secrets, 'postgres.password'),
      owner: user,
    });
  });

  after(() => {
    server?.stop('immediate');
    folder.remove();
  });

  async function apply(): Promise<readonly string[]> {
    return (await preparePostgres(settings)).apply();
  }

  async function refused(): Promise<{ code: string; hint: string }> {
    return apply().then(
      (done) => expect.fail(done.join('; ')),
      (error: unknown) => failureOf(error, { code: 'internal', hint: '' }),
    );
  }

  it('says what it needs, and is not touched by that', async () => {
    const before = readFileSync(hba(), 'utf8');
    const { needs } = await preparePostgres(settings);
    expect(needs.flatMap(({ lines }) => lines)).to.include.members([
      'CREATE ROLE stillpoint LOGIN REPLICATION;',
      settings.passwordFile,
      'host  all          stillpoint  samehost  scram-sha-256',
    ]);
    expect(readFileSync(hba(), 'utf8')).to.equal(before);
    expect(await server.query("SELECT FROM pg_roles WHERE rolname = 'stillpoint'")).to.deep.equal([]);
  });

  it('is not reloaded, and its pg_hba.conf not touched, while a setting of its owner waits for that', async () => {
    server.configure(['work_mem = 9MB']);
    expect((await refused()).code).to.equal('postgres-settings-pending');
    expect(readFileSync(hba(), 'utf8')).not.to.contain('stillpoint');
    await server.query('SELECT pg_reload_conf()');
  });

  it('keeps its pg_hba.conf where it had a mistake before', async () => {
    const before = readFileSync(hba(), 'utf8');
    writeFileSync(hba(), `${before}host all nonsense\n`);
    expect((await refused()).code).to.equal('postgres-settings-broken');
    expect(readFileSync(hba(), 'utf8')).to.equal(`${before}host all nonsense\n`);
    writeFileSync(hba(), before);
    await server.query('SELECT pg_reload_conf()');
  });

  it('gets role, password and lines, lets the agent in, and its files stay whose they were', async () => {
    const before = readFileSync(hba(), 'utf8');
    const { uid, gid, mode } = statSync(hba());
    const done = (await apply()).join('\n');
    expect(done).to.contain('lets role stillpoint in');
    expect(statSync(settings.passwordFile ?? '').mode & 0o777).to.equal(0o600);
    expect(statSync(hba())).to.include({ uid, gid, mode });
    expect(readFileSync(`${hba()}.before-stillpoint`, 'utf8')).to.equal(before);
    expect(readFileSync(hba(), 'utf8').endsWith(before)).to.equal(true);
    const log = readFileSync(`${server.data}.log`, 'utf8');
    expect(log).not.to.contain(readFileSync(settings.passwordFile ?? '', 'utf8').trim());
  });

  it('is as it was when it is prepared once more', async () => {
    const before = readFileSync(hba(), 'utf8');
    const password = readFileSync(settings.passwordFile ?? '', 'utf8');
    expect(await apply()).to.deep.equal(['it has all that it needs']);
    expect((await preparePostgres(settings)).needs).to.deep.equal([]);
    expect(readFileSync(hba(), 'utf8')).to.equal(before);
    expect(readFileSync(settings.passwordFile ?? '', 'utf8')).to.equal(password);
  });

  it('gets back a privilege that was taken away, and keeps its password', async () => {
    await server.query('REVOKE pg_read_all_stats FROM stillpoint; ALTER ROLE stillpoint NOREPLICATION');
    const verifier = (): Promise<unknown[]> =>
      server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'stillpoint'");
    const before = await verifier();
    expect((await apply()).at(-1)).to.contain('lets role stillpoint in');
    expect(await verifier()).to.deep.equal(before);
  });

  it('keeps a password that another agent may use: its file has to be brought', async () => {
    const file = join(folder.path, 'etc/other.password');
    settings = { ...settings, passwordFile: file };
    const { code, hint } = await refused();
    expect(code).to.equal('postgres-password');
    expect(hint).to.contain('PASSWORD NULL');
    expect(existsSync(file)).to.equal(false);
  });

  it('is told nothing as a standby, whose roles come from its primary: that is named', async () => {
    await server.query('DROP OWNED BY stillpoint');
    await server.query('DROP ROLE stillpoint');
    const before = readFileSync(hba(), 'utf8');
    server.stop();
    writeFileSync(join(server.data, 'standby.signal'), '');
    await server.start();
    const { code, hint } = await refused();
    expect(code).to.equal('postgres-privilege');
    expect(hint).to.contain('on the host of its primary first');
    expect(readFileSync(hba(), 'utf8')).to.equal(before);
  });
});
