import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAgent } from '../../shared/rpc/agent-client.ts';
import { serveAgents } from '../../shared/rpc/agent-server.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { ROOT } from '../lab/processes.ts';
import { programFile } from '../lab/programs.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what docs/security.md tells an operator to do is what helps. Method: its blocks are run as they stand, but for
// what copies files to hosts, and real TLS says who still reaches whom.

const HOST = '127.0.19.4';

describe('the remedies of docs/security.md', () => {
  const folder = temporaryFolder('security');
  const page = readFileSync(join(ROOT, 'docs/security.md'), 'utf8').replaceAll('beta.example', HOST);
  const old = join(folder.path, 'old');

  before(async () => {
    await initializePki(join(folder.path, 'pki'));
    await issueAgentCertificates(join(folder.path, 'pki'), ['alpha.example', HOST]);
    run(`cp -r pki old`);
  });
  after(() => folder.remove());

  function run(script: string): void {
    const shim = `stillpoint() { '${process.execPath}' '${programFile('coordinator/main.ts')}' "$@"; }; scp() { :; }; ssh() { :; }`;
    const { status, stderr } = spawnSync('sh', ['-ec', `${shim}\n${script}`], {
      cwd: folder.path,
      encoding: 'utf8',
    });
    expect(status, `${script}: ${stderr}`).to.equal(0);
  }

  function block(heading: string, number = 0): string {
    const section = page.slice(page.indexOf(heading)).slice(heading.length).split(/^#+ /m)[0] ?? '';
    return [...section.matchAll(/^```\n([^]*?)^```/gm)][number]?.[1] ?? '';
  }

  const pair = (directory: string, name: string): Pick<TlsFiles, 'cert' | 'key'> => ({
    cert: join(directory, `${name}.pem`),
    key: join(directory, `${name}-key.pem`),
  });
  const trust = (directory: string): Pick<TlsFiles, 'ca' | 'crl'> => ({
    ca: join(directory, 'ca.pem'),
    crl: join(directory, 'crl.pem'),
  });

  /** `reaches`, or the code of what is in the way. */
  async function attempt(agent: TlsFiles, coordinator: TlsFiles): Promise<string> {
    const server = await serveAgents({ listen: `${HOST}:0`, tls: agent, onStream: () => undefined });
    try {
      const address = `${HOST}:${server.port}`;
      const stream = await connectAgent({ address, tls: coordinator, timeoutMs: 5000 });
      stream.close();
      return 'reaches';
    } catch (error) {
      return (error as { failure: { code: string } }).failure.code;
    } finally {
      await server.close();
    }
  }

  it('replace a CA while the grid runs: with both files, old and new reach each other', async () => {
    run(block('## Before certificates expire', 1));
    const both = trust(folder.path);
    const [before, after] = [join(folder.path, 'pki'), join(folder.path, 'pki-new')];
    for (const agent of [before, after])
      for (const coordinator of [before, after])
        expect(
          await attempt({ ...both, ...pair(agent, HOST) }, { ...both, ...pair(coordinator, 'coordinator') }),
          `${agent} and ${coordinator}`,
        ).to.equal('reaches');
    const ended = { ...trust(after), ...pair(after, HOST) };
    expect(await attempt(ended, { ...both, ...pair(before, 'coordinator') })).to.equal(
      'coordinator-certificate',
    );
    run('rm -r pki-new');
  });

  it('make the stolen key of an agent, and of a coordinator, worth nothing, and give new ones', async () => {
    const pki = join(folder.path, 'pki');
    run(block('### Of an agent'));
    const coordinator = { ...trust(pki), ...pair(pki, 'coordinator') };
    expect(await attempt({ ...trust(pki), ...pair(old, HOST) }, coordinator)).to.equal('agent-certificate');
    expect(await attempt({ ...trust(pki), ...pair(pki, HOST) }, coordinator)).to.equal('reaches');

    run(block('### Of the coordinator'));
    const agent = { ...trust(pki), ...pair(pki, HOST) };
    const thief = { ...trust(old), ...pair(old, 'coordinator') };
    expect(await attempt(agent, thief)).to.equal('coordinator-certificate');
    expect(await attempt(agent, { ...trust(pki), ...pair(pki, 'coordinator') })).to.equal('reaches');

    run(block('## Before certificates expire'));
    expect(
      await attempt({ ...trust(pki), ...pair(pki, HOST) }, { ...trust(pki), ...pair(pki, 'coordinator') }),
    ).to.equal('reaches');
  });

  it('leave nobody of a stolen CA anything', async () => {
    run(block('### Of the CA'));
    const renewed = join(folder.path, 'pki-new');
    const agent = { ...trust(renewed), ...pair(renewed, HOST) };
    const thief = { ...trust(old), ...pair(old, 'coordinator') };
    expect(await attempt(agent, { ...thief, ca: agent.ca, crl: agent.crl })).to.equal(
      'coordinator-certificate',
    );
  });
});
