import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  restartWarnings,
  settingsInForce,
  type HeldSetting,
} from '../../../../agent/engines/postgres/look/restart-pending.ts';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

// Goal: what a server has in force and its files do not say is known with the checkpoint, and told before.

for (const version of versions) {
  describe(`settings of a PostgreSQL ${version} that wait for a restart`, () => {
    let lab: PostgresLab;
    let held: HeldSetting[];

    before(async () => {
      lab = await postgresLab(version, { settings: ['max_worker_processes = 9'] });
      const { server } = lab;
      await server.query('ALTER SYSTEM SET max_connections = 33');
      const path = join(server.data, 'postgresql.conf');
      writeFileSync(path, readFileSync(path, 'utf8').replace('max_worker_processes = 9\n', ''));
      await server.query('SELECT pg_reload_conf()');
      await until('the reload', async () => {
        const client = await server.connect();
        held = await settingsInForce(client);
        await client.end();
        return held.length === 2;
      });
    });
    after(() => lab.remove());

    it('are known with what is in force, also where the files do not say them any more', () => {
      expect(held).to.deep.equal([
        { name: 'max_connections', inForce: '60', inFiles: '33', onCommandLine: false },
        { name: 'max_worker_processes', inForce: '9', inFiles: null, onCommandLine: false },
      ]);
    });

    it('are told by preflight, to the least-privileged role, and do not stop a checkpoint', async () => {
      const { problems, warnings } = await lab.engine.describe(new AbortController().signal);
      expect(problems).to.deep.equal([]);
      const told = warnings.filter(({ code }) => code === 'postgres-restart-pending').map(({ text }) => text);
      expect(told).to.deep.equal([
        "max_connections waits for a restart: '60' is in force, and its files say '33'",
        "max_worker_processes waits for a restart: '9' is in force, and its files do not say it any more",
      ]);
    });

    it('keep nobody from a checkpoint, which knows them', async () => {
      const { capture } = await beginCapture(lab.engine, lab.folder);
      try {
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        expect((await capture.thaw(token(), () => undefined)).type).to.equal('held');
        const { engineFacts } = await capture.collect();
        expect((engineFacts as PostgresFacts).inForce).to.deep.equal(held);
      } finally {
        await capture.abort();
      }
    });

    it('are told by a restore, but for those of a command line', () => {
      const told = restartWarnings(
        'aa',
        [...held, { name: 'port', inForce: '1', inFiles: null, onCommandLine: true }],
        'restored',
      );
      expect(told.map(({ text }) => text)).to.have.length(2);
      expect(told[0]?.text)
        .to.include('max_connections waited for a restart')
        .and.include("'60' was in force");
    });
  });
}
