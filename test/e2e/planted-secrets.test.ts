import { expect } from 'chai';
import { chownSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { serverUser } from '../lab/postgres.ts';
import { startProgram, stillpoint, type Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: nothing private is ever written where it does not belong. Method: secrets are planted wherever an
// operator or a client has some, real commands and agents work and fail with the most talkative log, and all
// that they wrote is searched.

const HOST = '127.0.19.4';
const PASSWORD = 'planted-password-3f9a';
const WRONG = 'planted-wrong-77b1';
const ENVIRONMENT = 'planted-environment-c2d4';
const UPSTREAM = 'planted-upstream-a915';
const ROW = 'planted-row-5be0';

describe('secrets that are planted', () => {
  const folder = temporaryFolder('secrets');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  const passwordFile = join(folder.path, 'password');
  const said: Finished[] = [];
  let grid: TestGrid;

  before(async () => {
    writePassword(PASSWORD);
    grid = await createGrid({
      hosts: [HOST],
      copysets: [{ name: 'a', hosts: [0, 0] }],
      settings: ["log_statement = 'all'"],
      memberLines: () => [`passwordFile: ${passwordFile}`],
      env: { STILLPOINT_LOG_LEVEL: 'trace', PGPASSWORD: ENVIRONMENT, ...hooks.env },
    });
    const { server } = grid.member('aa');
    await server.query(`ALTER ROLE stillpoint PASSWORD '${PASSWORD}'`);
    await server.query('CREATE TABLE clients (name text PRIMARY KEY)');
    await server.query(`INSERT INTO clients VALUES ('${ROW}')`);
    // The server's own log quotes the row.
    await server.query(`INSERT INTO clients VALUES ('${ROW}')`).catch(() => undefined);
    const standby = grid.member('ab').server;
    const own = `host=${HOST} port=${server.port} user=postgres application_name=ab password=${UPSTREAM}`;
    await standby.query(`ALTER SYSTEM SET primary_conninfo = '${own}'`);
    for (const one of [server, standby]) {
      const hba = join(one.data, 'pg_hba.conf');
      const lines = ['all', 'replication'].map((db) => `host ${db} stillpoint 127.0.0.0/8 scram-sha-256`);
      writeFileSync(hba, `${lines.join('\n')}\n${readFileSync(hba, 'utf8')}`);
      await one.query('SELECT pg_reload_conf()');
    }
  });

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  function writePassword(password: string): void {
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    if (serverUser !== null) chownSync(passwordFile, 0, 0);
  }

  async function run(...args: string[]): Promise<Finished> {
    const finished = await grid.run([...args, '--log-level', 'trace']);
    said.push(finished);
    return finished;
  }

  async function expectExit(code: number, ...args: string[]): Promise<string> {
    const { code: found, stdout, stderr } = await run(...args);
    expect(found, `${args.join(' ')}\n${stdout}${stderr}`).to.equal(code);
    return `${stdout}${stderr}`;
  }

  /** Every file below, but for the chunks, which hold the data itself. */
  function filesBelow(path: string): string[] {
    if (!existsSync(path)) return [];
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('/chunks'))
      .map((entry) => join(entry.parentPath, entry.name));
  }

  /** The secret parts of the private keys: each line of base64. */
  function keyLines(): string[] {
    return ['ca-key.pem', 'coordinator-key.pem', `${HOST}-key.pem`].flatMap((name) =>
      readFileSync(join(grid.pki, name), 'utf8')
        .split('\n')
        .filter((line) => /^[A-Za-z0-9+/=]{30,}$/.test(line)),
    );
  }

  it('are in nothing that commands and agents wrote, whether they did their work or failed', async () => {
    await expectExit(0, 'checkpoint', 'create', 'good');
    await expectExit(0, 'checkpoint', 'create', 'second', '--output', 'json');
    for (const args of [
      ['checkpoint', 'list'],
      ['checkpoint', 'describe', 'good'],
      ['checkpoint', 'verify', 'good'],
    ])
      await expectExit(0, ...args);
    for (const output of ['text', 'json']) {
      await run('grid', 'status', '--output', output);
      await run('grid', 'doctor', '--output', output);
    }

    writePassword(WRONG);
    expect(await expectExit(3, 'checkpoint', 'create', 'refused')).to.include('password');
    await run('grid', 'doctor');
    writePassword(PASSWORD);

    // A restore whose servers find their port taken when it is decided, quotes the server; it is ended, and one succeeds.
    for (const { server } of grid.members) server.stop();
    hooks.hold('decided');
    const failing = grid.begin(['restore', 'good', '--yes', '--log-level', 'trace']);
    await hooks.reachedBy(failing, 'decided');
    const squatter = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => squatter.listen(grid.member('aa').server.port, HOST, resolve));
    hooks.release('decided');
    const failed = await failing.finished;
    said.push(failed);
    expect(failed.code, failed.stderr).to.equal(6);
    expect(failed.stderr).to.match(/FATAL/);
    await new Promise((resolve) => squatter.close(resolve));
    const [, restoreId = ''] = /--finish (\S+)/.exec(failed.stderr) ?? [];
    await expectExit(0, 'restore', '--finish', restoreId, '--yes');
    await expectExit(0, 'restore', 'good', '--stop', '--yes');
    expect(await grid.member('aa').server.query('SELECT name FROM clients')).to.deep.equal([{ name: ROW }]);

    const written = new Map<string, string>([
      ...said.map(({ stdout, stderr }, index) => [`command ${index}`, `${stdout}${stderr}`] as const),
      ...grid.hosts.flatMap(({ log, state }) =>
        [log, ...filesBelow(state)].map((path) => [path, readFileSync(path, 'latin1')] as const),
      ),
      ...filesBelow(grid.repository).map((path) => [path, readFileSync(path, 'latin1')] as const),
    ]);
    const names = [...written.keys()];
    expect(names.filter((name) => name.endsWith('/grid.json')).length).to.be.at.least(2);
    expect(names.some((name) => name.endsWith('/members/ab.json'))).to.equal(true);
    expect(names.some((name) => name.endsWith('/spent.json'))).to.equal(true);
    const log = written.get(grid.hosts[0]?.log ?? '') ?? '';
    expect(log.length).to.be.greaterThan(1000);

    const secrets = [PASSWORD, WRONG, ENVIRONMENT, UPSTREAM, ROW, ...keyLines()];
    expect(secrets.length).to.be.at.least(8);
    const found = secrets.flatMap((secret) =>
      [...written].filter(([, text]) => text.includes(secret)).map(([name]) => `${secret} in ${name}`),
    );
    expect(found).to.deep.equal([]);
    // They were there to be found: in the server's log, and in the files that they were planted in.
    const { data } = grid.member('aa').server;
    expect(readFileSync(`${data}.log`, 'utf8')).to.include(`(${ROW}) already exists`);
    const standby = join(grid.member('ab').server.data, 'postgresql.auto.conf');
    expect(readFileSync(standby, 'utf8')).to.include(UPSTREAM);
    expect(statSync(standby).mode & 0o077).to.equal(0);
    expect(readFileSync(passwordFile, 'utf8')).to.include(PASSWORD);
  });

  it('are not quoted when they stand where they must not: in the agent’s own file', async () => {
    const text = readFileSync(grid.hosts[0]?.configuration ?? '', 'utf8');
    const at = `${HOST}:${grid.member('aa').server.port}`;
    const connections: Record<string, string> = {
      [`postgresql://stillpoint:${PASSWORD}@${at}/postgres`]: 'has a password in it',
      [`postgresql://stillpoint@${at}/postgres?password=${PASSWORD}`]: 'has a password in it',
      [`postgresql://stillpoint@${at}/postgres?sslpassword=${PASSWORD}`]: 'has a password in it',
      [`postgresql://stillpoint:${PASSWORD}@${HOST}:port/postgres`]: 'must be a postgresql:// URL',
      [`mysql://stillpoint:${PASSWORD}@${at}/postgres`]: 'must be a postgresql:// URL',
      // eslint-disable-next-line no-template-curly-in-string
      '${PLANTED}': 'must be a postgresql:// URL',
    };
    for (const [connection, message] of Object.entries(connections)) {
      const path = join(folder.path, 'agent.yaml');
      writeFileSync(path, text.replace(/connection: .*/, `connection: "${connection}"`));
      const env = { PLANTED: `x:${PASSWORD}` };
      const { code, stdout, stderr } = await startProgram('agent/main.ts', ['--config', path], env).finished;
      expect(code).to.equal(2);
      expect(stderr).to.include(message);
      expect(stdout + stderr).to.not.include(PASSWORD);
    }
  });

  it('are not quoted when a certificate and a private key were mistaken for one another', async () => {
    const path = join(folder.path, 'grid.yaml');
    const text = readFileSync(grid.gridFile, 'utf8');
    const key = /key: ([^ }]+)/.exec(text)?.[1] ?? '';
    for (const mistaken of ['cert', 'ca']) {
      writeFileSync(path, text.replace(new RegExp(`${mistaken}: [^ ,}]+`), `${mistaken}: ${key}`));
      const { stdout, stderr } = await stillpoint(['grid', 'status', '--grid', path, '--log-level', 'trace']);
      expect(stdout + stderr).to.include('is not what it should be in PEM');
      for (const line of keyLines()) expect(stdout + stderr).to.not.include(line);
    }
  });
});
