import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { RestoreContext } from '../../../agent/engines/engine.ts';
import { InfinispanRestoration } from '../../../agent/engines/infinispan/restore/restoration.ts';
import { RestoreTurn } from '../../../agent/engines/infinispan/restore/restore-turn.ts';
import type { RestoreSettings } from '../../../agent/engines/infinispan/settings.ts';
import { failureOf, type Failure } from '../../../shared/domain/errors.ts';
import { freePort } from '../../lab/ports.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: a restore says what its owner does to a cluster that it cannot go through. Method: no server, and one that refuses.

describe('a cluster that is asked for a restore and does not let itself be asked', () => {
  const facts = {
    kind: 'cluster',
    version: '16.0.5',
    container: 'default',
    servers: ['n1'],
    heldMs: 1,
    backupMs: 1,
    archive: { path: 'backup.zip', sizeBytes: 1, sha256: '' },
    caches: [],
    counters: [],
    templates: [],
    protoSchemas: [],
    tasks: [],
  };

  async function refused(keys: Partial<RestoreSettings> & { readonly url: string }): Promise<Failure> {
    const settings = { name: 'n1', container: 'default', root: '/srv/ispn/server', peers: [], ...keys };
    const context = {
      source: { manifest: { engineFacts: facts, member: { name: 'n1' }, artifacts: [] } },
      signal: AbortSignal.timeout(10_000),
    } as unknown as RestoreContext;
    return new InfinispanRestoration(settings, context, new RestoreTurn()).check().then(
      () => expect.fail('it was not refused'),
      (error: unknown) => failureOf(error, { code: '', hint: '' }),
    );
  }

  it('does not run: its owner is told how to start it, as the agent file has it', async () => {
    const url = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
    const byUnit = await refused({ url, unit: 'infinispan.service' });
    const byCommand = await refused({ url, run: { start: ['/opt/ispn/bin/server.sh', '-n', 'n1'] } });
    const unknown = await refused({ url });

    expect(byUnit).to.include({ code: 'infinispan-not-running' });
    expect(byUnit.message).to.contain('ECONNREFUSED');
    expect(byUnit.hint)
      .to.contain('(here: systemctl start infinispan.service)')
      .and.to.contain('an empty cluster will do');
    expect(byCommand.hint).to.contain('(here: /opt/ispn/bin/server.sh -n n1)');
    expect(unknown.hint).to.match(/^start every server of the cluster, then restore again/);
  });

  it('runs and does not know us: that is no server that does not run', async () => {
    const folder = temporaryFolder('not-running');
    const server = createServer((_, response) => void response.writeHead(401).end());
    try {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const tokenFile = join(folder.path, 'token');
      writeFileSync(tokenFile, 'old\n');
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { code, hint } = await refused({ url, auth: { type: 'token', tokenFile } });

      expect(code).to.equal('infinispan-refused');
      expect(hint).to.contain(tokenFile);
    } finally {
      server.closeAllConnections();
      server.close();
      folder.remove();
    }
  });
});
