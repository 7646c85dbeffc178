import { expect } from 'chai';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkAgentFile } from '../../agent/check.ts';
import { initializePki } from '../../shared/rpc/pki.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { makeOddCertificate } from '../rpc/odd-certificates.ts';

// Goal: what ends an agent in some weeks is known today.

describe('the check of an agent file', () => {
  const folder = temporaryFolder('check');
  const pki = join(folder.path, 'pki');
  before(() => initializePki(pki));
  after(() => folder.remove());

  async function check(validToDays: number, more: readonly string[] = []): ReturnType<typeof checkAgentFile> {
    const tls = await makeOddCertificate(pki, 'alpha', pki, { authority: pki, role: 'agent', validToDays });
    const state = join(folder.path, 'state');
    mkdirSync(state, { recursive: true, mode: 0o700 });
    const file = join(folder.path, 'agent.yaml');
    const lines = [
      'grid: orders',
      'listen: 127.0.42.1:7411',
      `state: ${state}`,
      ...(more.some((line) => line.startsWith('repository:')) ? [] : [`repository: ${folder.path}`]),
    ];
    writeFileSync(file, [...lines, `tls: ${JSON.stringify(tls)}`, ...more].join('\n'));
    return checkAgentFile(file);
  }

  it('notes a certificate that expires within thirty days, and finds fault with one that has', async () => {
    expect(await check(31)).to.deep.equal({ problems: [], notes: [] });
    const { problems, notes } = await check(29);
    expect(problems).to.deep.equal([]);
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(/alpha\.pem expires at .*, in 2[89] days: renew it with stillpoint pki renew$/);
    expect((await check(-0.5)).problems).to.have.length(1);
  });

  it('takes a place that cannot be looked at for no absent one, and says why', async () => {
    const loop = join(folder.path, 'loop');
    symlinkSync(loop, loop);
    const { notes } = await check(60, [`repository: ${loop}`]);
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(/loop cannot be looked at: ELOOP/);
  });

  it('refuses metrics on an address that others reach, and takes one of loopback', async () => {
    for (const address of ['127.0.0.1:9411', '"[::1]:9411"'])
      expect((await check(31, [`metrics: ${address}`])).problems).to.deep.equal([]);
    for (const address of [
      '0.0.0.0:9411',
      '10.0.0.7:9411',
      'localhost:9411',
      '127.0.0.1.example:9411',
      '"[::]:9411"',
    ]) {
      const refused = await check(31, [`metrics: ${address}`]).catch((error: Error) => error.message);
      expect(refused, address).to.match(/metrics.*must be a loopback address/);
    }
  });
});
