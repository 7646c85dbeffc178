import { expect } from 'chai';
import fc from 'fast-check';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAgent } from '../../shared/rpc/agent-client.ts';
import { peerOf } from '../../shared/rpc/peer.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { loadTls } from '../../shared/rpc/tls-files.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { anyBytes, hurt } from './mutations.ts';
import { accepted, fuzz } from './verdict.ts';

// Goal: a file that is no certificate, or no key, is named; it never ends the program as a fault of its own.

describe('certificates from outside', () => {
  const folder = temporaryFolder('fuzz');
  const pki = join(folder.path, 'pki');
  const tls = {
    ca: join(pki, 'ca.pem'),
    cert: join(pki, 'coordinator.pem'),
    key: join(pki, 'coordinator-key.pem'),
  };

  before(async () => {
    await initializePki(pki, { grid: 'orders' });
  });

  after(() => folder.remove());

  for (const which of ['ca', 'cert', 'key'] as const) {
    it(`can be used with this ${which}, or the file is named`, async () => {
      const hurtFile = join(folder.path, `${which}.pem`);
      const valid = fc.constant(readFileSync(tls[which]));
      let refused = 0;
      await fuzz(fc.oneof(anyBytes, hurt(valid), hurt(valid)), 300, async (bytes) => {
        writeFileSync(hurtFile, bytes);
        const loaded = await accepted(() => loadTls({ ...tls, [which]: hurtFile }));
        if (loaded === null) refused += 1;
      });
      expect(refused).to.be.greaterThan(100);
    });
  }

  it('are not read when they are endless', async () => {
    const large = join(folder.path, 'large.pem');
    writeFileSync(large, '');
    truncateSync(large, 3 * 1024 ** 3);
    await fuzz(fc.constantFrom('ca', 'cert', 'key'), 3, async (which) => {
      expect(await accepted(() => loadTls({ ...tls, [which]: large }))).to.equal(null);
    });
  });

  it('that are damaged are what the command says, and not that it has a fault', async () => {
    const bad = join(folder.path, 'bad.pem');
    writeFileSync(bad, 'no certificate');
    const calling = connectAgent({ address: '127.0.18.78:1', tls: { ...tls, ca: bad }, timeoutMs: 1000 });
    const error: unknown = await calling.catch((thrown: unknown) => thrown);
    expect(error).to.have.nested.property('failure.code', 'certificate-unreadable');
    expect(error).to.have.property('message').that.includes(bad);
  });

  it('of a peer give it a role only when they say so', async () => {
    const { raw } = new X509Certificate(readFileSync(tls.cert));
    expect(peerOf(raw)).to.deep.equal({ name: 'coordinator', role: 'coordinator', grid: 'orders' });
    await fuzz(fc.oneof(anyBytes, hurt(fc.constant(raw))), 1000, (bytes) => {
      expect(peerOf(bytes).role).to.be.oneOf([null, 'agent', 'coordinator']);
    });
  });

  it('of an authority make others, or there is none', async () => {
    const own = join(folder.path, 'own');
    mkdirSync(own, { recursive: true });
    const files = ['ca.pem', 'ca-key.pem'] as const;
    const inputs = fc
      .constantFrom(...files)
      .chain((name) =>
        fc.tuple(fc.constant(name), fc.oneof(anyBytes, hurt(fc.constant(readFileSync(join(pki, name)))))),
      );
    await fuzz(inputs, 100, async ([name, bytes]) => {
      for (const file of files) copyFileSync(join(pki, file), join(own, file));
      writeFileSync(join(own, name), bytes);
      await accepted(() => issueAgentCertificates(own, ['alpha'], { force: true }));
      rmSync(join(own, 'alpha.pem'), { force: true });
    });
  });
});
