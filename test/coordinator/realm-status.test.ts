import { expect } from 'chai';
import { gridDoctor, gridStatus } from '../../coordinator/grid-status.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { createLog } from '../../shared/runtime/log.ts';
import { DOWN, each, realmGrid } from './realm-grid.ts';
import { patient, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: who looks at a grid with a realm sees what stops a checkpoint, and what to do about it.

describe('the status of a grid with a realm', () => {
  let agents: ScriptedAgents;

  before(async () => {
    agents = await scriptedAgents(realmGrid());
  });

  after(() => agents.close());

  function looking(hosts: readonly HostDescription[]): Parameters<typeof gridStatus>[0] {
    agents.hosts = [...hosts];
    const log = createLog({ name: 'test', level: 'silent' });
    return { gridFile: agents.gridFile, signal: patient.signal, log };
  }

  it('has nothing to say of a healthy one', async () => {
    const input = looking(realmGrid());
    expect((await gridStatus(input)).report).to.deep.include({ problems: [], warnings: [] });
    expect(await gridDoctor(input)).to.deep.include({ findings: [], healthy: true });
  });

  it('shows keepers below their quorum, and what each member says of it [S50]', async () => {
    const undecided = { code: 'copyset-undecided', message: 'm', hint: 'h' };
    const input = looking(realmGrid({ ...each(['k2', 'k3', 'a1'], DOWN), k1: { problems: [undecided] } }));

    const { members, problems } = (await gridStatus(input)).report;

    expect(members.find(({ name }) => name === 'k1')?.problems).to.deep.equal([undecided]);
    expect(problems.map(({ code }) => code)).to.deep.equal(['keepers-below-quorum']);
    const { findings, healthy } = await gridDoctor(input);
    expect(findings.map(({ failure }) => failure.code)).to.deep.equal([
      'copyset-undecided',
      'copyset-without-primary',
      'keepers-below-quorum',
    ]);
    expect(healthy).to.equal(false);
  });

  it('does not take the silence of a host for a process that is not configured', async () => {
    const input = looking(realmGrid());
    const gridFile = { ...input.gridFile, agents: [...input.gridFile.agents.slice(1), '127.0.18.250:9'] };

    const { problems, hosts } = (await gridStatus({ ...input, gridFile })).report;

    expect(problems).to.deep.equal([]);
    expect(hosts.filter(({ reachable }) => !reachable)).to.have.length(1);
  });
});
