import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expiryFindings } from '../../coordinator/certificate-expiry.ts';
import { gridDoctor, gridStatus } from '../../coordinator/grid-status.ts';
import type { DoctorReport, StatusReport } from '../../coordinator/reports.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { ABLE } from '../../shared/domain/purpose.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { stillpoint } from '../lab/processes.ts';
import { makeOddCertificate } from '../rpc/odd-certificates.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { describedHost, describedMember, standby } from './descriptions.ts';
import { patient, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: a script sees by the exit code that something is wrong. Method: the command, and agents over the real wire.

describe('the exit code of grid status', () => {
  const folder = temporaryFolder('status');
  let agents: ScriptedAgents;
  before(async () => {
    agents = await scriptedAgents([describedHost('alpha', [describedMember('aa')])]);
  });
  after(async () => {
    await agents.close();
    folder.remove();
  });

  async function status(
    problems: readonly Failure[],
    more: readonly string[] = [],
    leftFrozen = false,
  ): Promise<number | null> {
    agents.hosts = [describedHost('alpha', [{ ...describedMember('aa'), problems, leftFrozen }])];
    const file = join(folder.path, 'grid.yaml');
    const { gridFile } = agents;
    writeFileSync(file, JSON.stringify({ ...gridFile, agents: [...gridFile.agents, ...more] }));
    return (await stillpoint(['grid', 'status', '--grid', file])).code;
  }

  it('is 0 where all is well', async () => {
    expect(await status([])).to.equal(0);
  });

  it('is 3 where a checkpoint would be refused', async () => {
    expect(await status([{ code: 'postgres-hba', message: 'turned away', hint: 'let it in' }])).to.equal(3);
  });

  it('is 3 where a host does not answer', async () => {
    expect(await status([], ['127.0.18.250:9'])).to.equal(3);
  });

  it('is 5 where a member may still be frozen', async () => {
    expect(await status([{ code: 'undo-pending', message: 'not undone yet', hint: 'wait' }])).to.equal(5);
    const armed = { code: 'server-armed', message: 'a freeze was not undone', hint: 'undo it' };
    expect(await status([armed], [], true), 'as its engine sees it').to.equal(5);
  });
});

describe('the status of a grid that a job has', () => {
  const TOKEN = '2f0c6a1e-90b4-4f0b-b0a5-8f1d6f2f7f10';
  let agents: ScriptedAgents;
  beforeEach(async () => {
    agents = await scriptedAgents([
      describedHost('alpha', []),
      describedHost('beta', [describedMember('ba')]),
      describedHost('gamma', [describedMember('ca')]),
    ]);
  });
  afterEach(() => agents.close());

  it('names the job and where it is, and never its token', async () => {
    const checkpoint = '20261120T120000.123Z_00000000_00000007_freeze';
    const job = { operation: TOKEN, holder: 'anna@backup pid 7' };
    agents.heldBy = (host) =>
      host === 'gamma'
        ? { operation: 'another', holder: 'bert@backup pid 8', checkpoint: null, purpose: null }
        : host === 'alpha'
          ? // Claimed, with no member that takes part.
            { ...job, checkpoint: null, purpose: null }
          : { ...job, checkpoint, purpose: { type: 'freeze', timeOutMs: 600_000 } };
    const file = join(dirname(agents.gridFile.repository), 'grid.yaml');
    writeFileSync(file, JSON.stringify(agents.gridFile));
    const { json, stdout } = await stillpoint(['grid', 'status', '--grid', file, '--output', 'json']);
    expect((json as StatusReport).jobs).to.deep.equal([
      {
        purpose: 'freeze',
        checkpoint,
        holder: 'anna@backup pid 7',
        since: '2026-11-20T12:00:00.123Z',
        hosts: ['alpha', 'beta'],
      },
      { purpose: null, checkpoint: null, holder: 'bert@backup pid 8', since: null, hosts: ['gamma'] },
    ]);
    const words = await stillpoint(['grid', 'status', '--grid', file]);
    expect(words.stdout.split('\n')).to.include.members([
      `freeze ${checkpoint} of anna@backup pid 7 has alpha, beta, since 2026-11-20T12:00:00.123Z`,
      'an operation of bert@backup pid 8 has gamma',
    ]);
    for (const text of [stdout, words.stdout]) expect(text).not.to.include(TOKEN);
  });

  it('has none where nobody has it', async () => {
    const log = createLog({ name: 'test', level: 'silent' });
    const { report } = await gridStatus({ gridFile: agents.gridFile, signal: patient.signal, log });
    expect(report.jobs).to.deep.equal([]);
  });
});

describe('what grid doctor finds', () => {
  let agents: ScriptedAgents;
  before(async () => {
    agents = await scriptedAgents([describedHost('alpha', []), describedHost('beta', [])]);
  });
  after(() => agents.close());

  it('is told with its own remedy where it is a warning', async () => {
    const warning = { code: 'fsync-off', about: 'aa', text: 'fsync is off', hint: 'switch it on' };
    agents.hosts = [
      describedHost('alpha', [describedMember('aa', { warnings: [warning] })]),
      describedHost('beta', []),
    ];
    const log = createLog({ name: 'test', level: 'silent' });

    agents.greetsAll = true;
    const report = await gridDoctor({ gridFile: agents.gridFile, signal: patient.signal, log });

    expect(report.findings).to.deep.equal([
      {
        level: 'warning',
        failure: {
          code: 'fsync-off',
          message: 'fsync is off',
          hint: 'switch it on',
          host: 'alpha',
          member: 'aa',
        },
      },
    ]);
    expect(report.healthy).to.equal(true);
  });

  it('has what each member that stores data can be held for, why not where it cannot, and what to use instead', async () => {
    const cannot = { code: 'cannot', message: 'it has no write daemon', hint: 'a journal checkpoint' };
    agents.hosts = [
      describedHost('alpha', [
        describedMember('aa', { engine: 'other', abilities: { ...ABLE, freeze: cannot } }),
      ]),
      describedHost('beta', [describedMember('ba'), standby('bb')]),
    ];
    const file = join(dirname(agents.gridFile.repository), 'grid.yaml');
    writeFileSync(file, JSON.stringify(agents.gridFile));
    const { stdout, code } = await stillpoint(['grid', 'doctor', '--grid', file]);
    expect(code).to.equal(0);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).to.deep.equal([
      ['grid orders: all is well'],
      ['MEMBER', 'ENGINE', 'JOURNAL CHECKPOINT', 'QUIESCE', 'QUIESCE, READS ALLOWED', 'FREEZE'],
      ['aa', 'other', 'yes', 'yes', 'yes', 'no (1)'],
      ['ba', 'postgres', 'yes', 'yes', 'yes', 'yes'],
      ['(1) it has no write daemon'],
      ['', 'instead: a journal checkpoint'],
      [''],
    ]);
    const { json } = await stillpoint(['grid', 'doctor', '--grid', file, '--output', 'json']);
    expect((json as DoctorReport).operations).to.deep.equal([
      { name: 'aa', host: 'alpha', engine: 'other', ...ABLE, freeze: cannot },
      { name: 'ba', host: 'beta', engine: 'postgres', ...ABLE },
    ]);
  });

  it('is a certificate that expires within thirty days: the coordinator’s, and those that agents showed', async () => {
    const folder = dirname(agents.gridFile.tls.ca);
    const tls = await makeOddCertificate(folder, 'short', folder, {
      authority: folder,
      role: 'coordinator',
      validToDays: 12,
    });
    const log = createLog({ name: 'test', level: 'silent' });
    agents.hosts = [describedHost('alpha', [describedMember('aa')]), describedHost('beta', [])];

    const gridFile = { ...agents.gridFile, tls };
    const report = await gridDoctor({ gridFile, signal: patient.signal, log });

    expect(report.findings.map(({ level, failure: { code } }) => `${level} ${code}`)).to.deep.equal([
      'warning certificate-expires',
    ]);
    expect(report.findings[0]?.failure.message).to.match(
      /of the coordinator, .*short\.pem, expires at .* in 1[12] days/,
    );
    const day = 24 * 3_600_000;
    const of = await expiryFindings(tls, [
      { address: 'alpha.example:7411', at: Date.now() + 29 * day },
      { address: 'beta.example:7411', at: Date.now() + 31 * day },
    ]);
    expect(of.flatMap(({ failure: { host } }) => host ?? [])).to.deep.equal(['alpha.example']);
  });

  async function findings(...hosts: readonly HostDescription[]): Promise<string[]> {
    agents.hosts = [...hosts];
    const log = createLog({ name: 'test', level: 'silent' });
    const report = await gridDoctor({ gridFile: agents.gridFile, signal: patient.signal, log });
    expect(report.healthy).to.equal(report.findings.length === 0);
    return report.findings.map(
      ({ failure: { code, host = '-', member = '-' } }) => `${code} ${host} ${member}`,
    );
  }

  const alpha = describedHost('alpha', [describedMember('aa')]);

  it('is one server that stands under two names, of which no member says so', async () => {
    expect(await findings(alpha, describedHost('beta', [describedMember('ba')]))).to.deep.equal([]);
    const { incarnation, dataIdentity } = describedMember('aa');

    expect(
      await findings(alpha, describedHost('beta', [describedMember('ba', { incarnation, dataIdentity })])),
    ).to.deep.equal(['duplicate-member beta ba']);
  });

  it('is a name or an address that two members have', async () => {
    const { address } = describedMember('aa');

    expect(await findings(alpha, describedHost('beta', [describedMember('ba', { address })]))).to.deep.equal([
      'duplicate-member beta ba',
    ]);
  });

  it('is all that speaks against a checkpoint, not only the first of it', async () => {
    const down = describedMember('ba', { running: false });
    const beta = {
      ...describedHost('beta', [down, describedMember('ab')]),
      grid: 'another',
      stateFreeBytes: 0,
    };

    expect((await findings(alpha, beta)).map((said) => said.split(' ')[0])).to.deep.equal([
      'wrong-grid',
      'agent-disk-full',
      'copyset-split',
    ]);
  });
});
