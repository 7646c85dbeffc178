import { expect } from 'chai';
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readAgentFile } from '../../../agent/agent-file.ts';
import type { FoundMember } from '../../../agent/engines/discovery.ts';
import { hostFacts } from '../../../agent/init/host-facts.ts';
import { initialize } from '../../../agent/init/initialize.ts';
import { writeAgentFile, type AgentFileContent } from '../../../agent/init/written-file.ts';
import { failureOf } from '../../../shared/domain/errors.ts';
import { initializePki, issueAgentCertificates } from '../../../shared/rpc/pki.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: what init writes is what an agent reads, and nothing of anybody's is lost by it.

function postgres(name: string, change: Partial<FoundMember> = {}): FoundMember {
  return {
    keys: {
      name,
      role: 'node',
      copyset: 'system-1',
      engine: 'postgres',
      address: `alpha:${name.length}`,
      data: `/srv/${name}: "the data"`,
      connection: 'postgresql://stillpoint@127.0.0.1:5432/postgres',
      also: [`/etc/${name}`],
      run: { start: ['pg_ctlcluster', '15', 'on', 'start'] },
    },
    remarks: { copyset: 'any\nname' },
    grid: null,
    doubt: null,
    ...change,
  };
}

function content(members: readonly FoundMember[]): AgentFileContent {
  const line = (value: unknown, remark: string | null = null): { value: unknown; remark: string | null } => ({
    value,
    remark,
  });
  return {
    keys: {
      grid: line('orders', 'not known here'),
      listen: line('0.0.0.0:7411'),
      host: line('alpha'),
      tls: line({ ca: 'ca.pem', cert: 'alpha.pem', key: 'alpha-key.pem' }),
      state: line('/var/lib/stillpoint'),
      repository: line('/srv/${HOME}'),
    },
    members,
    notes: ['process 7 is in a\ncontainer'],
  };
}

describe("an agent's file that init writes", () => {
  const folder = temporaryFolder('init');
  after(() => folder.remove());
  const failure = (work: Promise<unknown>): Promise<{ code: string; message: string; hint: string }> =>
    work.then(
      () => expect.fail('it was not refused'),
      (error: unknown) => failureOf(error, { code: 'internal', hint: '' }),
    );

  it('is read by the agent as it was meant, with odd values and remarks in it, and by nobody but root', async () => {
    const path = join(folder.path, 'agent.yaml');
    await writeAgentFile(path, content([postgres('one'), postgres('three')]));
    const file = await readAgentFile(path);
    expect(file.repository).to.equal('/srv/${HOME}');
    expect(file.members.map((member) => [member.name, 'data' in member && member.data])).to.deep.equal([
      ['one', '/srv/one: "the data"'],
      ['three', '/srv/three: "the data"'],
    ]);
    expect(file.members[0]).to.have.deep.property('run', { start: ['pg_ctlcluster', '15', 'on', 'start'] });
    expect(statSync(path).mode & 0o777).to.equal(0o600);
  });

  it('has what may be no member as a comment, which is one without its #', async () => {
    const path = join(folder.path, 'doubt.yaml');
    await writeAgentFile(path, content([postgres('one'), postgres('three', { doubt: 'it does not run' })]));
    expect((await readAgentFile(path)).members.map(({ name }) => name)).to.deep.equal(['one']);
    const text = readFileSync(path, 'utf8');
    expect(text).to.contain('# it does not run:');
    const without = join(folder.path, 'taken.yaml');
    writeFileSync(without, text.replaceAll(/^ {2}# (?=- name|  )/gm, '  '));
    expect((await readAgentFile(without)).members.map(({ name }) => name)).to.deep.equal(['one', 'three']);
  });

  it('never takes the place of one that is there', async () => {
    const path = join(folder.path, 'mine.yaml');
    writeFileSync(path, 'mine\n');
    chmodSync(path, 0o640);
    const { code, hint } = await failure(writeAgentFile(path, content([])));
    expect(code).to.equal('agent-file-exists');
    expect(hint).to.contain('init --apply');
    expect((await failure(initialize(['--config', path], () => undefined))).code).to.equal(
      'agent-file-exists',
    );
    expect(readFileSync(path, 'utf8')).to.equal('mine\n');
    expect(statSync(path).mode & 0o777).to.equal(0o640);
  });

  it('is not written at a name that cannot be looked at: its reader says why', async () => {
    const loop = join(folder.path, 'loop.yaml');
    symlinkSync(loop, loop);
    const failed = await failure(initialize(['--config', loop], () => undefined));

    expect(failed).to.include({ message: `${loop} cannot be read (ELOOP)` });
  });

  it('calls the host as the certificate does that lies beside it, and says so where there is none', async () => {
    const pki = join(folder.path, 'pki');
    await initializePki(pki);
    expect((await hostFacts(pki, null)).doubt).to.contain('no certificate');
    await issueAgentCertificates(pki, ['alpha.example']);
    expect(await hostFacts(pki, null)).to.deep.equal({
      host: 'alpha.example',
      doubt: null,
      certificate: 'alpha.example.pem',
      hasList: true,
    });
    // Two, and none is of the host's own name: nothing is guessed.
    await issueAgentCertificates(pki, ['beta.example']);
    expect((await hostFacts(pki, null)).certificate).to.equal(null);
    expect(await hostFacts(pki, 'beta.example')).to.include({ certificate: 'beta.example.pem', doubt: null });
  });
});
