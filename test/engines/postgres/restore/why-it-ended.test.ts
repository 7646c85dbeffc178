import { expect } from 'chai';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { lastWords, logSizes } from '../../../../agent/engines/postgres/restore/last-words.ts';
import { postgresServer, serverUser, type PostgresServer } from '../../../lab/postgres.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';
import { settingsFor, until } from '../lab.ts';
import { whyItEnded } from '../../../../agent/engines/postgres/restore/server-process.ts';

// Goal: a server that does not start is quoted, and its clients are not.

const AT = '2026-11-20 12:00:00.000 UTC [7]';

describe('why a server ended', () => {
  it('is its last fatal line, with what it says to it', () => {
    const log = [
      `${AT} FATAL:  terminating connection due to administrator command`,
      `${AT} LOG:  starting PostgreSQL`,
      `${AT} FATAL:  could not write lock file`,
      `${AT} DETAIL:  no space left`,
      `${AT} HINT:  make room`,
      `${AT} LOG:  database system is shut down`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal(
      `${AT} FATAL:  could not write lock file | ${AT} DETAIL:  no space left | ${AT} HINT:  make room`,
    );
  });

  it('is not that somebody was turned away meanwhile', () => {
    const log = [
      `${AT} FATAL:  recovery ended before configured recovery target was reached`,
      `${AT} LOG:  terminating any other active server processes`,
      `${AT} FATAL:  the database system is starting up`,
      `${AT} FATAL:  the database system is not yet accepting connections`,
      `${AT} DETAIL:  Consistent recovery state has not been yet reached.`,
      `${AT} FATAL:  the database system is shutting down`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal(
      `${AT} FATAL:  recovery ended before configured recovery target was reached`,
    );
  });

  it('is nothing of what clients said and stored', () => {
    const log = [
      `${AT} ERROR:  duplicate key value violates unique constraint "t_pkey"`,
      `${AT} DETAIL:  Key (name)=(a client) already exists.`,
      `${AT} STATEMENT:  INSERT INTO t VALUES ('a client')`,
      `${AT} LOG:  statement: SELECT 'a client'`,
    ].join('\n');
    expect(whyItEnded(log)).to.equal('');
  });
});

describe('the last words of a server', () => {
  const folder = temporaryFolder('last-words');
  let server: PostgresServer;

  before(async () => {
    const logs = join(folder.path, 'elsewhere');
    mkdirSync(logs);
    if (serverUser !== null) chownSync(logs, serverUser.uid, serverUser.gid);
    server = await postgresServer({
      data: join(folder.path, 'data'),
      host: '127.0.43.4',
      settings: ['logging_collector = on', `log_directory = '${logs}'`],
    });
    await server.start();
  });

  after(() => {
    server?.kill();
    folder.remove();
  });

  for (const destination of ['stderr', 'csvlog', 'jsonlog'])
    it(`are found where its collector writes them as ${destination}, and none that are older`, async () => {
      const settings = settingsFor(server);
      await server.query(`ALTER SYSTEM SET log_destination = '${destination}'`);
      await server.query('SELECT pg_reload_conf()');
      await until('the reload', async () => {
        const [row] = await server.query<{ to: string }>("SELECT current_setting('log_destination') AS to");
        return row?.to === destination;
      });
      await fail(`older_${destination}`);
      await until('the older one', async () =>
        (await lastWords(settings, new Map())).includes(`older_${destination}`),
      );
      const before = await logSizes(settings);
      expect(await lastWords(settings, before)).to.equal('');

      await fail(`newer_${destination}`);
      await until('the newer one', async () => (await lastWords(settings, before)) !== '');

      expect(await lastWords(settings, before)).to.match(
        new RegExp(`FATAL:  database "+newer_${destination}"+ does not exist`),
      );
    });

  async function fail(database: string): Promise<void> {
    const client = new Client({ host: server.host, port: server.port, user: 'postgres', database });
    client.on('error', () => undefined);
    await client.connect().catch(() => undefined);
  }
});
