import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chownSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openServer } from '../../../../agent/engines/postgres/restore/open-server.ts';
import { conninfoFor, formatSetting } from '../../../../agent/engines/postgres/restore/auto-conf.ts';
import { freePort } from '../../../lab/ports.ts';
import {
  postgresServer,
  serverUser,
  type PostgresServer,
  type PostgresVersion,
} from '../../../lab/postgres.ts';
import { postgresLab, settingsFor, versions, type PostgresLab } from '../lab.ts';

// Goal: a restored standby that its primary does not let in is not waited for without an end, and its operator is told
// why, in the server's own words, with the line or the password that lacks.
// Method: a real primary whose pg_hba.conf and passwords are those of the old hosts, and standbys on new addresses.

const BOUND_MS = 60_000;

interface Opened {
  readonly problems: readonly string[];
  readonly ms: number;
}

describe('a restored standby that its primary does not let in', function () {
  this.timeout(180_000);
  const labs: PostgresLab[] = [];
  const standbys: PostgresServer[] = [];
  /** By version and name. Each waits for half a minute: all do at once. */
  const opened = new Map<string, Promise<Opened>>();

  before(async () => {
    for (const version of versions) {
      const lab = await postgresLab(version, {
        settings: ["listen_addresses = '*'"],
        hba: [
          // The followers of the old hosts: one network of IPv4, and no other.
          'host replication follower 127.0.0.0/8 scram-sha-256',
          'host all all ::1/128 trust',
        ],
      });
      labs.push(lab);
      await lab.server.query("CREATE ROLE follower LOGIN REPLICATION PASSWORD 'secret'");
      await lab.server.query('SELECT pg_switch_wal()');
      const passfile = join(lab.folder, 'keyed', 'keyed.pgpass');
      const keyed = `host=old-primary port=5432 user=follower passfile='${passfile}'`;
      for (const [name, own, address] of [
        ['keyed', keyed, '127.0.0.1'],
        ['elsewhere', 'user=follower password=secret', '::1'],
      ] as const) {
        const standby = await restored(lab, name, own, address);
        const outcome = open(standby, name, address);
        outcome.catch(() => undefined);
        opened.set(`${version} ${name}`, outcome);
      }
    }
  });

  after(async () => {
    await Promise.allSettled(opened.values());
    for (const standby of standbys) standby.stop('immediate');
    for (const lab of labs) lab.remove();
  });

  /** As a restore leaves one: its own connection, pointed at the new primary. */
  async function restored(
    { server, folder }: PostgresLab,
    name: string,
    own: string,
    address: string,
  ): Promise<PostgresServer> {
    const data = join(folder, name);
    const client = await server.connect();
    await client.query("SELECT pg_backup_start('copy', true)");
    spawnSync('cp', ['-a', server.data, data]);
    const { rows } = await client.query<{ label: string }>(
      'SELECT labelfile AS label FROM pg_backup_stop(false)',
    );
    await client.end();
    rmSync(join(data, 'postmaster.pid'));
    // With the end of the backup in it: what is restored is consistent.
    rmSync(join(data, 'pg_wal'), { recursive: true });
    spawnSync('cp', ['-a', join(server.data, 'pg_wal'), data]);
    const port = await freePort(address);
    const conninfo = conninfoFor(
      own,
      { host: address === '::1' ? '::1' : server.host, port: server.port },
      {},
    );
    const files = {
      backup_label: rows[0]?.label ?? '',
      'standby.signal': '',
      'postgresql.auto.conf': `${formatSetting('primary_conninfo', conninfo)}\n${formatSetting('port', String(port))}\n`,
      [`${name}.pgpass`]: `old-primary:*:*:follower:secret\n`,
    };
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(data, file), text, { mode: 0o600 });
      if (serverUser !== null) chownSync(join(data, file), serverUser.uid, serverUser.gid);
    }
    const { version } = server;
    const standby = await postgresServer({ version, data, host: '127.0.0.1', port, existing: true });
    standbys.push(standby);
    return standby;
  }

  async function open(standby: PostgresServer, name: string, address: string): Promise<Opened> {
    const begunAt = performance.now();
    const { port } = standby;
    const settings = settingsFor(standby, {
      name,
      address: address === '::1' ? `[::1]:${port}` : `${address}:${port}`,
      connection: `postgresql://postgres@127.0.0.1:${port}/postgres`,
    });
    const { problems } = await openServer(settings);
    return { problems, ms: performance.now() - begunAt };
  }

  async function outcomeOf(version: PostgresVersion, name: string): Promise<Opened> {
    const outcome = await opened.get(`${version} ${name}`);
    if (outcome === undefined) throw new Error(`${name} of ${version} was not opened`);
    return outcome;
  }

  for (const [index, version] of versions.entries()) {
    it(`of PostgreSQL ${version}, since its password file is keyed by the old host, is told of within a bound, with what it lacks`, async () => {
      const { problems, ms } = await outcomeOf(version, 'keyed');
      expect(problems).to.have.length(1);
      expect(problems[0])
        .to.include(`keyed runs, and does not stream from 127.0.0.1:${labs[index]?.server.port}`)
        .and.include('no password supplied')
        .and.include('is its password known to the standby');
      expect(ms).to.be.lessThan(BOUND_MS);
    });

    it(`of PostgreSQL ${version}, since pg_hba.conf has the lines of the old hosts, also over IPv6, is told of with the line that lacks`, async () => {
      const { problems, ms } = await outcomeOf(version, 'elsewhere');
      expect(problems).to.have.length(1);
      expect(problems[0])
        .to.include('elsewhere runs, and does not stream from ::1')
        .and.include('no pg_hba.conf entry')
        .and.include('"host replication follower ADDRESS scram-sha-256" with the address ::1');
      expect(ms).to.be.lessThan(BOUND_MS);
    });
  }
});
