import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Failure } from '../../shared/domain/errors.ts';
import { stillpoint } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

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

  async function status(problems: readonly Failure[], more: readonly string[] = []): Promise<number | null> {
    agents.hosts = [describedHost('alpha', [{ ...describedMember('aa'), problems }])];
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
  });
});
